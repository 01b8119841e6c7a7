/** Asks the authorizer whether a request may be. */
import { ApiError } from "../lib/api-error.ts";
import { pathSegmentErrors } from "../lib/names.ts";
import { type FieldTerm, parseFieldSelector } from "../lib/selector.ts";
import type { AuditTrail } from "./audit/trail.ts";
import type { Attributes, Authorizer } from "./authorizer.ts";
import { forbidden } from "./errors.ts";
import type { ApiRequest, User } from "./request.ts";

/** Throws Forbidden when the answer is no, which is recorded either way. */
export async function authorize(
  authorizer: Authorizer,
  attributes: Attributes,
  audit?: AuditTrail,
): Promise<void> {
  const { allowed, reason, error } = await authorizer.authorize(attributes);
  if (!allowed && error !== undefined) {
    audit?.annotate("authorization.k8s.io/reason", "internal error");
    throw new ApiError("InternalError", `Internal error occurred: ${error}`);
  }
  audit?.annotate("authorization.k8s.io/decision", allowed ? "allow" : "forbid");
  audit?.annotate("authorization.k8s.io/reason", reason);
  if (!allowed) throw forbidden(attributes, reason);
}

type Asked = Pick<
  ApiRequest,
  "method" | "name" | "namespace" | "query" | "resource" | "subresource"
> & { readonly verb: string };

/** As `authorize`, for a request to a resource. */
export async function authorizeRequest(authorizer: Authorizer, request: ApiRequest): Promise<void> {
  const attributes = attributesOf(request);
  await authorize(authorizer, attributes, request.audit);
  const { verb } = attributes;
  if (verb === "create" || request.verb !== "connect" || !acts(request)) return;
  // A WebSocket begins with a GET, and runs programs all the same: who only reads may not.
  await authorize(authorizer, { ...attributes, verb: "create" });
}

const acting: ReadonlySet<string> = new Set(["exec", "attach", "portforward"]);
/** What a kubelet runs or opens for whoever asks, be it by GET. */
const kubeletActions = /^\/+(attach|exec|portForward|run)(\/|$)/i;

function acts({ resource, subresource, rest }: ApiRequest): boolean {
  const isOfNode = resource.plural === "nodes" && subresource === "proxy";
  return isOfNode ? kubeletActions.test(unescaped(rest)) : acting.has(subresource);
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The verb of `connect` follows the method. */
export function attributesOf<U extends User | undefined>(
  request: Asked & { readonly user: U },
): Omit<Attributes, "user"> & { readonly user: U } {
  const { group, version, plural } = request.resource;
  return {
    user: request.user,
    verb: request.verb === "connect" ? connectVerb(request) : request.verb,
    group,
    version,
    resource: plural,
    subresource: request.subresource,
    // A namespace counts as inside of itself.
    namespace: group === "" && plural === "namespaces" ? request.name : request.namespace,
    name: request.name === "" ? selectedName(request) : request.name,
    path: "",
    isResourceRequest: true,
    ...selectorsOf(request),
  };
}

function selectorsOf({ verb, query }: Asked): Pick<Attributes, "fieldSelector" | "labelSelector"> {
  if (verb !== "list" && verb !== "watch" && verb !== "deletecollection") return {};
  const [fieldSelector, labelSelector] = [query.get("fieldSelector"), query.get("labelSelector")];
  return { ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
}

/** Who may only see one object may list and watch by a field selector that names it. */
function selectedName({ verb, query }: Asked): string {
  const text = query.get("fieldSelector");
  if (!text || (verb !== "list" && verb !== "watch")) return "";
  const name = nameTerm(text)?.value ?? "";
  return pathSegmentErrors(name).length === 0 ? name : "";
}

function nameTerm(selector: string): FieldTerm | undefined {
  try {
    return parseFieldSelector(selector).find(
      ({ field, operator }) => field === "metadata.name" && operator === "=",
    );
  } catch {
    // A selector that cannot be read selects nothing here; reading the list says what is wrong.
    return undefined;
  }
}

const connectVerbs: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

function connectVerb(request: Asked): string {
  return connectVerbs[request.method] ?? "get";
}
