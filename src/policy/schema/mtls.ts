/** Whether callers must prove who they are. */

import { z } from "zod";

/**
 * - `strict`: mutual TLS, or nothing.
 * - `permissive`: mutual TLS or plaintext on the same port; whoever comes in plaintext is nobody.
 * - `disabled`: plaintext; nobody proves anything.
 */
export const mtlsMode = z.enum(["strict", "permissive", "disabled"]);

export type MtlsMode = z.infer<typeof mtlsMode>;
