/** From a URL path and method to what is asked of which resource. */

import { isTrue } from "./options.ts";
import type { Registry } from "./registry.ts";
import type { RequestVerb, ResourceRef } from "./request.ts";

export interface Target {
  readonly resource: ResourceRef;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, with its slash. */
  readonly rest: string;
  /** The old form `/api/v1/watch/...`. */
  readonly legacyWatch: boolean;
}

/** Below a namespace these are the namespace's own parts, not resources in it. */
const namespaceParts: ReadonlySet<string> = new Set(["status", "finalize"]);

/** Undefined for paths that cannot be a resource. Throws URIError for broken escapes. */
export function parsePath(path: string): Target | undefined {
  const [, root, ...rest] = path.split("/").map((part) => decodeURIComponent(part));
  const isCore = root === "api";
  if (!isCore && root !== "apis") return undefined;
  const group = isCore ? "" : (rest.shift() ?? "");
  const version = rest.shift() ?? "";
  if (version === "" || (!isCore && group === "")) return undefined;
  const legacyWatch = rest[0] === "watch";
  if (legacyWatch) rest.shift();
  let namespace = "";
  const [first, second, third] = rest;
  if (first === "namespaces" && second !== undefined && third !== undefined && third !== "") {
    if (!namespaceParts.has(third)) {
      namespace = second;
      rest.splice(0, 2);
    }
  }
  // A slash at the end is not part of a name.
  if (rest.length === 2 && rest[1] === "") rest.pop();
  const [plural = "", name = "", subresource = "", ...more] = rest;
  if (plural === "" || (rest.length > 1 && name === "")) return undefined;
  if ([namespace, plural, name].some(isPathTrick)) return undefined;
  const tail = more.length === 0 ? "" : `/${path.split("/").slice(-more.length).join("/")}`;
  return {
    resource: { group, version, plural },
    namespace,
    name,
    subresource,
    rest: tail,
    legacyWatch,
  };
}

function isPathTrick(part: string): boolean {
  return part === "." || part === ".." || part.includes("/");
}

/** These last for as long as both sides like. */
const longRunning: ReadonlySet<string> = new Set(["attach", "exec", "log", "portforward", "proxy"]);

/** True for what has neither a deadline nor a seat; watches have a seat while they begin. */
export function isLongRunning(target: Pick<Target, "subresource"> | undefined): boolean {
  return target !== undefined && longRunning.has(target.subresource);
}

/** The API verb of a method on a target; undefined when there is none. */
export function verbOf(
  registry: Registry,
  method: string,
  target: Target,
  query: URLSearchParams,
): RequestVerb | undefined {
  const definition = registry.find(target.resource);
  const subresource = definition?.subresources[target.subresource];
  if (subresource?.type === "stream") return "connect";
  switch (method) {
    case "GET":
      if (target.legacyWatch) return "watch";
      if (target.name !== "") return "get";
      return isTrue(query.get("watch")) ? "watch" : "list";
    case "POST":
      if (definition?.namespaced && target.namespace === "") return undefined;
      // Only parts of an object, such as its binding, are created under its name.
      return target.name === "" || target.subresource !== "" ? "create" : undefined;
    case "PUT":
      return target.name === "" ? undefined : "update";
    case "PATCH":
      return target.name === "" ? undefined : "patch";
    case "DELETE":
      if (definition?.namespaced && target.namespace === "") return undefined;
      return target.name === "" ? "deletecollection" : "delete";
    default:
      return undefined;
  }
}

/** False when a path names a namespace for what has none. */
export function isServed(registry: Registry, target: Target): boolean {
  const definition = registry.find(target.resource);
  if (definition === undefined) return false;
  if (!definition.namespaced && target.namespace !== "") return false;
  if (definition.namespaced && target.namespace === "" && target.name !== "") return false;
  return target.subresource === "" || target.subresource in definition.subresources;
}
