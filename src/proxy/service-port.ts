/** Which port of a Service a call is for, and what is spoken there. */

import type { ServicePort } from "../projections/snapshot.ts";
import type { ApplicationProtocol } from "./io/tls.ts";

export type { ServicePort } from "../projections/snapshot.ts";

/**
 * How a sidecar tells the next one the port, where the authority does not: applications get the authority that was sent
 * to them, and interception learns the port from the connection alone. Never taken from an application, nor given to one.
 */
export const PORT_FIELD = "x-heddle-port";

/** Of a Service that declares none. */
const UNDECLARED: ServicePort = { port: 0, protocol: "http" };

/**
 * The first of the wanted ports that the Service has. Where there is none, because the authority names a local port, as
 * that of a sidecar, or none at all: the first one that takes connections, or requests, whichever it is that came.
 * @param isTcp a connection is to be carried as it is
 */
export function portOf(
  ports: readonly ServicePort[],
  isTcp: boolean,
  ...wanted: readonly (number | undefined)[]
): ServicePort {
  const [first = UNDECLARED] = ports;
  if (ports.length <= 1) return first;
  for (const number of wanted) {
    const found = number === undefined ? undefined : ports.find(({ port }) => port === number);
    if (found !== undefined) return found;
  }
  return ports.find(({ protocol }) => (protocol === "tcp") === isTcp) ?? first;
}

/** The port at the end of an authority; undefined where it names none. */
export function portIn(authority: string): number | undefined {
  const digits = /:(\d{1,5})$/.exec(authority)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** HTTP/1.1 where nothing else is declared. */
export function protocolOf({ protocol }: ServicePort): ApplicationProtocol {
  switch (protocol) {
    case "http2":
    case "grpc":
      return "h2";
    case "tcp":
      return "tcp";
    default:
      return "http/1.1";
  }
}
