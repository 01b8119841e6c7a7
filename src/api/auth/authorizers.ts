/** The chain of authorizers of a server: masters, nodes, roles. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Authorizer } from "../authorizer.ts";
import { createNodeAuthorizer } from "./node-authorizer.ts";
import { createRbacAuthorizer, mastersAuthorizer, unionAuthorizer } from "./rbac.ts";

/** `--authorization-mode=Node,RBAC`, with `system:masters` before both. */
export function createAuthorizer(live: LiveSets): Authorizer {
  return unionAuthorizer([
    mastersAuthorizer,
    createNodeAuthorizer(live),
    createRbacAuthorizer(live),
  ]);
}
