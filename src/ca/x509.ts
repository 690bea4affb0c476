/** The certificate library, after the polyfill that it needs to have been loaded first: import it from here only. */

import "reflect-metadata";

export * from "@peculiar/x509";
