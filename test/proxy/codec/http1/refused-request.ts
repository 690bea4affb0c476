/** How the rows of refused requests are written down. */

/** What was sent, the status of the answer, and its reason. */
export type Row = readonly [name: string, input: string, status: number, detail: string];

export const HOST = "Host: a\r\n";
/** A request with these lines after `Host`, and what follows its head. */
export function post(lines: string, rest = ""): string {
  return `POST / HTTP/1.1\r\n${HOST}${lines}\r\n${rest}`;
}
export function get(line: string): string {
  return `GET / HTTP/1.1\r\n${HOST}${line}\r\n\r\n`;
}
export function target(text: string, method = "GET"): string {
  return `${method} ${text} HTTP/1.1\r\n${HOST}\r\n`;
}
export function chunked(body: string): string {
  return post("Transfer-Encoding: chunked\r\n", body);
}
