/** A document in a few words, for tables. */

import { type AccessAction, type PolicyDocument, partsOf, type RouteRule } from "../../policy/schema.ts";

/** The parts of a document's spec that tell it from others of its kind. */
export function summarise(document: PolicyDocument): string {
  switch (document.kind) {
    case "Mesh": {
      const { trustDomain, mtls, access, certificateTtl: ttl } = document.spec;
      const said = [trustDomain, mtls && `mTLS ${mtls}`, access && `access ${access}`, ttl && `certificates ${ttl}`];
      return said.filter(Boolean).join(", ");
    }
    case "Service": {
      const { ports, subsets, external } = document.spec;
      const named = Object.keys(subsets ?? {});
      const listens = ports.map(({ port, protocol }) => `${port} ${protocol}`).join(", ");
      const whose = external === undefined ? "" : `; ${external.identity}`;
      return named.length === 0 ? `${listens}${whose}` : `${listens}; subsets ${named.join(", ")}${whose}`;
    }
    case "Route": {
      const { service, rules } = document.spec;
      const last = rules.findLast(({ match }) => match === undefined);
      const split = last === undefined ? "" : `, ${destinations(last)}`;
      return `${service}: ${counted(rules.length, "rule")}${split}`;
    }
    case "AccessPolicy": {
      const { service, rules, dryRun } = document.spec;
      const actions = rules.map((rule) => partsOf(rule).action);
      const count = (action: AccessAction): number => actions.filter((one) => one === action).length;
      const parts = [counted(count("allow"), "allow"), counted(count("deny"), "deny", "denies")];
      if (count("audit") > 0) parts.push(counted(count("audit"), "audit"));
      if (document.spec.default !== undefined) parts.push(`default ${document.spec.default}`);
      return `${service}: ${parts.join(", ")}${dryRun === true ? " (dry run)" : ""}`;
    }
    case "RateLimit": {
      const { service, rules } = document.spec;
      return `${service}: ${rules.map(({ requests, per }) => `${requests} per ${per}`).join(", ")}`;
    }
  }
}

function destinations({ backends, redirect, respond }: RouteRule): string {
  if (redirect !== undefined) return "a redirect";
  if (respond !== undefined) return `a response with ${respond.status}`;
  if (backends === undefined) return "the whole service";
  return backends
    .map(
      ({ service, subset, weight = 1 }) =>
        `${[service, subset].filter(Boolean).join(" ") || "the whole service"} ${weight}`,
    )
    .join(" + ");
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
