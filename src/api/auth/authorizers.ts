/** The chain of authorizers of a server: masters first, then what it is configured to ask. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Authorizer } from "../authorizer.ts";
import { createNodeAuthorizer } from "./node-authorizer.ts";
import { createRbacAuthorizer, mastersAuthorizer, unionAuthorizer } from "./rbac.ts";

/** One link of the chain, webhooks opened already. */
export type Link = "Node" | "RBAC" | "AlwaysAllow" | "AlwaysDeny" | Authorizer;

export const defaultLinks: readonly Link[] = ["Node", "RBAC"];

/** `--authorization-mode=Node,RBAC` by default, with `system:masters` before all. */
export function createAuthorizer(
  live: LiveSets,
  links: readonly Link[] = defaultLinks,
): Authorizer {
  return unionAuthorizer([mastersAuthorizer, ...links.map((link) => authorizerOf(link, live))]);
}

function authorizerOf(link: Link, live: LiveSets): Authorizer {
  switch (link) {
    case "Node":
      return createNodeAuthorizer(live);
    case "RBAC":
      return createRbacAuthorizer(live);
    case "AlwaysAllow":
      return alwaysAllow;
    case "AlwaysDeny":
      return alwaysDeny;
    default:
      return link;
  }
}

const alwaysAllow: Authorizer = {
  authorize: async () => ({ allowed: true, reason: "" }),
  rulesFor: () => ({
    resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
    nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
    isIncomplete: false,
    errors: [],
  }),
};

const alwaysDeny: Authorizer = {
  authorize: async () => ({ allowed: false, reason: "Everything is forbidden." }),
};
