import { expect, test } from "bun:test";
import { checkDocuments, EMPTY_MESH } from "../../src/policy/check.ts";
import { parsePolicy } from "../../src/policy/parse.ts";

function remarks(service: string, rule: string): string[] {
  const text = `
apiVersion: heddle/v1
kind: Service
metadata: { namespace: shop, name: pay }
spec:
  ${service}
---
apiVersion: heddle/v1
kind: AccessPolicy
metadata: { namespace: shop, name: pay }
spec:
  service: pay
  rules: [${rule}]
`;
  const parsed = parsePolicy([{ file: "f", text }]);
  if (!parsed.ok) throw new Error(parsed.error.map(({ path, message }) => `${path} ${message}`).join("\n"));
  const { errors, warnings } = checkDocuments(
    parsed.value.map(({ document }) => document),
    EMPTY_MESH,
  );
  const text_ = (kind: string) => (finding: { path: readonly unknown[]; message: string }) =>
    `${kind} ${finding.path.join(".")}: ${finding.message}`;
  return [...errors.map(text_("error")), ...warnings.map(text_("warning"))];
}

const HTTP = "ports: [{ port: 80, protocol: http }]";
const TCP = "ports: [{ port: 5432, protocol: tcp }]";
const provider = (uri: string): string => `{ issuer: i, audiences: [a], jwksUri: "${uri}" }`;

const THEIRS = `${HTTP}
  external: { identity: "spiffe://b.local/ns/shop/sa/pay", addresses: ["10.0.0.1:15006"] }`;
const ONLY =
  "policy here says only which services may call a service of another mesh; what they may do there, is said there";

test.each<[string, string, string[]]>([
  [THEIRS, "allow: { from: [shop/pay] }", []],
  [
    `${THEIRS}\n  mtls: permissive\n  subsets: { v1: { version: v1 } }`,
    "allow: { methods: [GET] }",
    [
      "error spec.subsets: is for the other mesh to say: its sidecars enforce it, and not ours",
      "error spec.mtls: is for the other mesh to say: its sidecars enforce it, and not ours",
      `error spec.rules.0.allow.methods: cannot be enforced: ${ONLY}`,
    ],
  ],
  [THEIRS, "deny: { from: [shop/pay] }", [`error spec.rules.0.deny: cannot be enforced: ${ONLY}`]],
  [HTTP, "allow: { ports: [80], methods: [GET] }", []],
  [HTTP, "allow: { ports: [80, 81] }", ["warning spec.rules.0.allow.ports.1: the service has no port 81; it has 80"]],
  [TCP, "allow: { from: [none], ports: [5432] }", []],
  [
    TCP,
    "allow: { methods: [GET] }",
    ["warning spec.rules.0.allow.methods: cannot be told of tcp: this rule never matches"],
  ],
  [
    TCP,
    "deny: { paths: [/a] }",
    ["warning spec.rules.0.deny.paths: cannot be told of tcp: it is left out, and the rule matches without it"],
  ],
  [
    HTTP,
    'deny: { paths: [/a, "/admin?all=1"] }',
    ["warning spec.rules.0.deny.paths.1: paths are compared without their query: what holds a ? meets no request"],
  ],
  [
    HTTP,
    "deny: { when: [{ claim: sub, notValues: [a] }] }",
    [
      "warning spec.rules.0.deny.when: the service validates no tokens, so no claim is known; declare spec.jwt in its Service",
    ],
  ],
  [`${HTTP}\n  jwt: { providers: [${provider("https://i/k")}] }`, "deny: { when: [{ claim: a, values: [b] }] }", []],
  [
    `${HTTP}\n  jwt: { providers: [${provider("http://i/k")}] }`,
    "allow: { methods: [GET] }",
    [
      "warning spec.jwt.providers.0.jwksUri: keys that come without TLS can be anybody's: use https, or write them into jwks",
    ],
  ],
  [`${HTTP}\n  jwt: { providers: [${provider("http://127.0.0.1:81/k")}] }`, "allow: { methods: [GET] }", []],
  [
    `${HTTP}\n  jwt: { providers: [${provider("https://i/k")}, ${provider("https://i/l")}] }`,
    "allow: { methods: [GET] }",
    ["error spec.jwt.providers.1.issuer: i is listed twice"],
  ],
  [
    `${TCP}\n  jwt: { providers: [${provider("https://i/k")}] }`,
    "allow: { from: [none] }",
    ["warning spec.jwt: a tcp connection carries no tokens: nothing is validated"],
  ],
])("%s with %s", (service, rule, expected) => {
  expect(remarks(service, rule)).toEqual(expected);
});

test.each([
  [`{ issuer: i, jwksUri: "https://i/k" }`, "audiences"],
  [`{ issuer: i, audiences: [a] }`, "jwksUri"],
  [`{ issuer: i, audiences: [a], jwksUri: "https://i/k", jwks: { keys: [{ kty: EC }] } }`, "jwksUri"],
  [`{ issuer: i, audiences: [a], jwksUri: "ftp://i/k" }`, "must be an https:// or http://"],
  [`{ issuer: i, audiences: [a], jwksUri: "https://u:p@i/k" }`, "must be an https:// or http://"],
  [`{ issuer: i, audiences: [a], jwks: { keys: [{ kty: EC, d: AAAA }] } }`, "unknown field `d`"],
  [`{ issuer: i, audiences: [a], jwks: { keys: [{ kty: oct, k: AAAA }] } }`, "must be one of RSA, EC, OKP"],
  [`{ issuer: i, audiences: [a], jwksUri: "https://i/k", algorithms: [HS256] }`, "must be one of RS256"],
  [`{ issuer: i, audiences: [a], jwksUri: "https://i/k", algorithms: [none] }`, "must be one of RS256"],
  [`{ issuer: i, audiences: [a], jwksUri: "https://i/k", clockSkew: 6m }`, "must be at most 5m"],
  [
    `{ issuer: i, audiences: [a], jwksUri: "https://i/k", claimHeaders: { X-Forwarded-Client-Cert: sub } }`,
    "nothing else sets",
  ],
])("a provider is refused: %s", (written, expected) => {
  expect(() => remarks(`${HTTP}\n  jwt: { providers: [${written}] }`, "allow: { methods: [GET] }")).toThrow(expected);
});
