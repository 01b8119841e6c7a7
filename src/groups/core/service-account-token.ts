/** serviceaccounts/token: a TokenRequest answered with a signed token. */
import type { ApiRequest, ApiResponse } from "../../api/request.ts";
import type { ActionContext, Subresource } from "../../api/resource-definition.ts";
import type { Resource } from "../../client/client.ts";
import { nodes, pods, secrets } from "../../client/resources.ts";
import type { TokenRequest } from "../../gen/authentication-v1.ts";
import type { Pod, ServiceAccount } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { LiveObject } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import { readBody } from "../read-body.ts";
import { timestamp } from "./pod-binding.ts";

/** Something a token is bound to: it is valid as long as that lives. */
export interface BoundObject {
  readonly kind: "Pod" | "Secret" | "Node";
  readonly name: string;
  readonly uid: string;
}

export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccountName: string;
  readonly serviceAccountUid: string;
  /** Empty asks for the server's default audiences. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly boundObject?: BoundObject;
  /** The node of a bound pod. */
  readonly node?: { readonly name: string; readonly uid: string };
}

/** Signs; answers the token and the audiences it is for. */
export type SignToken = (claims: TokenClaims) => Promise<{
  /** By which records name the token. */
  readonly id?: string;
  readonly token: string;
  readonly audiences: readonly string[];
}>;

const limits = { expirationSecondsMin: 600, expirationSecondsMax: 2 ** 32 } as const;

/** Upstream names no object here. */
function refuse(field: string, value: unknown, detail: string): ApiError {
  const text = `Invalid value: ${JSON.stringify(value)}: ${detail}`;
  return new ApiError(
    "Invalid",
    `TokenRequest.authentication.k8s.io "" is invalid: ${field}: ${text}`,
    {
      details: {
        group: "authentication.k8s.io",
        kind: "TokenRequest",
        causes: [{ reason: "FieldValueInvalid", message: text, field }],
      },
    },
  );
}

function expirationOf(request: TokenRequest): number {
  const seconds = request.spec?.expirationSeconds ?? 3600;
  const field = "spec.expirationSeconds";
  if (seconds < limits.expirationSecondsMin)
    throw refuse(field, seconds, "may not specify a duration less than 10 minutes");
  if (seconds > limits.expirationSecondsMax)
    throw refuse(field, seconds, "may not specify a duration larger than 2^32 seconds");
  return seconds;
}

async function readBound(
  request: TokenRequest,
  account: LiveObject<ServiceAccount>,
  context: ActionContext,
): Promise<{ bound?: BoundObject; node?: { name: string; uid: string } }> {
  const ref = request.spec?.boundObjectRef;
  if (!ref) return {};
  const { namespace = "", name: accountName = "" } = account.object.metadata;
  const kind = ref.kind;
  if (kind !== "Pod" && kind !== "Secret" && kind !== "Node")
    throw new ApiError("BadRequest", `cannot bind token to object of type /v1, Kind=${kind}`);
  const resource: Resource<KubeObject> =
    kind === "Pod" ? pods : kind === "Secret" ? secrets : nodes;
  const name = ref.name ?? "";
  const object = await context.client.get(resource, kind === "Node" ? "" : namespace, name);
  const uid = object.metadata.uid ?? "";
  if (ref.uid && ref.uid !== uid)
    throw new ApiError(
      "Conflict",
      `Operation cannot be fulfilled on ${resource.plural} "${name}": the UID in the bound ` +
        `object reference (${ref.uid}) does not match the UID in record. The object might ` +
        `have been ` +
        "deleted and then recreated",
      { details: { name, kind: resource.plural } },
    );
  const bound: BoundObject = { kind, name, uid };
  if (kind !== "Pod") return { bound };
  const pod = object as Pod;
  if ((pod.spec.serviceAccountName ?? "") !== accountName)
    throw new ApiError(
      "BadRequest",
      `cannot bind token for serviceaccount "${accountName}" to pod running with different ` +
        "serviceaccount name.",
    );
  if (!pod.spec.nodeName) return { bound };
  const node = context.live.of(nodes).get(pod.spec.nodeName)?.object;
  return { bound, node: { name: pod.spec.nodeName, uid: node?.metadata.uid ?? "" } };
}

/** What the body says about itself must be the account in the path. */
function checkIdentity(request: TokenRequest, namespace: string, name: string): void {
  const { metadata } = request;
  if (metadata?.name && metadata.name !== name)
    throw new ApiError(
      "BadRequest",
      `metadata.name: Invalid value: ${JSON.stringify(metadata.name)}: must match the service ` +
        `account name if specified`,
    );
  if (metadata?.namespace && metadata.namespace !== namespace)
    throw new ApiError(
      "BadRequest",
      `metadata.namespace: Invalid value: ${JSON.stringify(metadata.namespace)}: must match the ` +
        `service account namespace if specified`,
    );
}

/** Takes TokenRequests for a service account. */
export function tokenSubresource(
  signToken: SignToken,
  expirationSecondsMax = Number.POSITIVE_INFINITY,
): Subresource<ServiceAccount> {
  async function run(
    target: LiveObject<ServiceAccount>,
    request: ApiRequest,
    context: ActionContext,
  ): Promise<ApiResponse> {
    const wanted = readBody<TokenRequest>(request);
    const { namespace = "", name = "", uid = "" } = target.object.metadata;
    checkIdentity(wanted, namespace, name);
    const asked = expirationOf(wanted);
    const seconds = Math.min(asked, expirationSecondsMax);
    const warnings =
      seconds === asked
        ? []
        : [`requested expiration of ${asked} seconds shortened to ${seconds} seconds`];
    const { bound, node } = await readBound(wanted, target, context);
    const issuedAt = context.runtime.clock.now();
    const expiresAt = new Date(issuedAt.getTime() + seconds * 1000);
    const { id, token, audiences } = await signToken({
      namespace,
      serviceAccountName: name,
      serviceAccountUid: uid,
      audiences: wanted.spec?.audiences ?? [],
      expirationSeconds: seconds,
      ...(bound === undefined ? {} : { boundObject: bound }),
      ...(node === undefined ? {} : { node }),
    });
    const answer: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: { name, namespace, creationTimestamp: timestamp(issuedAt) },
      spec: { ...wanted.spec, audiences: [...audiences], expirationSeconds: seconds },
      status: { token, expirationTimestamp: timestamp(expiresAt) },
    };
    if (id !== undefined) {
      const key = "authentication.kubernetes.io/issued-credential-id";
      context.audit?.annotate(key, `JTI=${id}`);
    }
    return { type: "object", status: 201, object: answer, warnings };
  }
  return {
    type: "action",
    verb: "create",
    kind: "TokenRequest",
    group: "authentication.k8s.io",
    version: "v1",
    run,
  };
}
