/** Rules of a Route that say something else than they seem to. */

import { expect, test } from "bun:test";
import { EMPTY_MESH } from "../../src/policy/check.ts";
import { lintDocuments } from "../../src/policy/lint.ts";
import { parsePolicy } from "../../src/policy/parse.ts";

function findings(rule: string): { errors: string[]; warnings: string[] } {
  const text = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: catalog }
spec: { ports: [{ port: 8080, protocol: http }] }
---
apiVersion: heddle/v1
kind: Route
metadata: { namespace: shop, name: catalog }
spec:
  service: catalog
  rules:
    - ${rule}
`;
  const parsed = parsePolicy([{ file: "f", text }]);
  if (!parsed.ok) throw new Error(parsed.error.map(({ message }) => message).join("\n"));
  const { errors, warnings } = lintDocuments(parsed.value, EMPTY_MESH);
  const line = ({ path, message }: (typeof errors)[number]): string =>
    `${path.replace("spec.rules[0].", "")}: ${message}`;
  return { errors: errors.map(line), warnings: warnings.map(line) };
}

const ESCAPED = "? and # become a part of the path, escaped; the query of the request stays as it is";

test.each([
  ["{ rewrite: { path: '/search?lang=en' } }", `rewrite.path: ${ESCAPED}`],
  ["{ redirect: { path: '/search?lang=en', host: example.org } }", `redirect.path: ${ESCAPED}`],
  [
    "{ match: [{ path: { prefix: / } }], redirect: { prefix: /new } }",
    "redirect.prefix: leads to /new, which this rule redirects again: clients go in circles",
  ],
  [
    "{ redirect: { path: /maintenance } }",
    "redirect.path: leads to /maintenance, which this rule redirects again: clients go in circles",
  ],
  ["{ respond: { status: 204, body: gone } }", "respond.body: is never sent: responses with 204 have no content"],
  [
    "{ cors: { origins: ['*'], credentials: true } }",
    "cors.origins: lets scripts of any site act and read as the user who visits it; name the origins",
  ],
])("%s is allowed, with a warning", (rule, warning) => {
  expect(findings(rule)).toEqual({ errors: [], warnings: [warning] });
});

test.each([
  "{ match: [{ path: { prefix: /old } }], redirect: { prefix: /new } }",
  "{ match: [{ path: { prefix: /news } }], redirect: { prefix: /newsletter } }",
  "{ match: [{ path: { prefix: / } }], redirect: { prefix: /new, host: example.org } }",
  "{ match: [{ methods: [POST] }], redirect: { path: /, status: 303 } }",
  "{ redirect: { scheme: https } }",
  "{ match: [{ path: { exact: /a.b/..c } }] }",
  "{ respond: { status: 204 } }",
  "{ cors: { origins: ['*'] } }",
])("nothing is said of %s", (rule) => {
  expect(findings(rule)).toEqual({ errors: [], warnings: [] });
});

test("a redirect that changes nothing is refused", () => {
  const errors = ["redirect: leads back to where it comes from: name scheme, host, path or prefix"];
  expect(findings("{ redirect: { status: 301 } }")).toEqual({ errors, warnings: [] });
});
