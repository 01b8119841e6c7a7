/** What needs asking first: labels of the namespace, and what the user may change of a status. */

import { lookUp } from "../../api/admission/look-up.ts";
import { attributesOf } from "../../api/authorize-call.ts";
import type { Attributes } from "../../api/authorizer.ts";
import { forbidden as forbiddenRequest } from "../../api/errors.ts";
import type { FieldError, PermitContext } from "../../api/resource-definition.ts";
import { namespaces } from "../../client/resources.ts";
import type {
  AllocatedDeviceStatus,
  AllocationResult,
  ResourceClaim,
  ResourceClaimSpec,
  ResourceClaimStatus,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { subdomainErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden } from "../field-errors.ts";

type ReadStatus = DeepReadonly<ResourceClaimStatus>;
type Context = Pick<PermitContext<ResourceClaim>, "authorizer" | "live" | "request">;

const adminLabel = "resource.kubernetes.io/admin-access";
const nodeNameKey = "authentication.kubernetes.io/node-name";

async function permitAdmin(
  index: number,
  field: string,
  namespace: string,
  { live }: Pick<Context, "live">,
): Promise<FieldError[]> {
  if (index < 0) return [];
  const found = await lookUp(live, namespaces, "", namespace);
  if (found?.metadata.labels?.[adminLabel] === "true") return [];
  const rule = `requires the \`${adminLabel}: true\` label on the containing namespace`;
  return [forbidden(`${field}[${index}].adminAccess`, `admin access to devices ${rule}`)];
}

/** Access to devices that others use is for namespaces that are meant for it. */
export function permitAdminAccess(
  spec: DeepReadonly<ResourceClaimSpec> | undefined,
  namespace: string,
  context: Pick<Context, "live">,
): Promise<FieldError[]> {
  const requests = spec?.devices?.requests ?? [];
  const index = requests.findIndex(({ exactly }) => exactly?.adminAccess === true);
  return permitAdmin(index, "spec.devices.requests", namespace, context);
}

function adminResult(status: ReadStatus | undefined): number {
  const results = status?.allocation?.devices?.results ?? [];
  return results.findIndex(({ adminAccess }) => adminAccess === true);
}

/** Undefined when the answer is yes, else the message of a refusal. */
async function refusal(attributes: Attributes, context: Context): Promise<string | undefined> {
  const { allowed, reason, error } = await context.authorizer.authorize(attributes);
  if (allowed) return undefined;
  const why = error === undefined ? reason : reason === "" ? error : `${error}: ${reason}`;
  return forbiddenRequest(attributes, why).message;
}

async function permitBinding(
  now: ReadStatus,
  before: ReadStatus,
  context: Context,
): Promise<FieldError[]> {
  const isSame =
    semanticEqual(now.allocation, before.allocation) &&
    semanticEqual(now.reservedFor, before.reservedFor);
  if (isSame) return [];
  const attributes = attributesOf(context.request);
  const asked = { ...attributes, subresource: "binding", namespace: "", name: "" };
  const refused = await refusal(asked, context);
  if (refused === undefined) return [];
  const needed = `resource="resourceclaims/binding", verb="${asked.verb}" permission`;
  const rule = `changing status.allocation or status.reservedFor requires ${needed}: ${refused}`;
  return [forbidden("status.allocation", rule)];
}

/** The drivers whose devices are told of otherwise than before. */
function changedDrivers(now: ReadStatus, before: ReadStatus): readonly string[] {
  const keyOf = (one: DeepReadonly<AllocatedDeviceStatus>): string =>
    [one.driver, one.pool, one.device, one.shareID ?? ""].join("/");
  const known = new Map((before.devices ?? []).map((one) => [keyOf(one), one]));
  const drivers = new Set<string>();
  for (const device of now.devices ?? []) {
    const old = known.get(keyOf(device));
    known.delete(keyOf(device));
    if (old === undefined || !semanticEqual(old, device)) drivers.add(device.driver);
  }
  for (const { driver } of known.values()) drivers.add(driver);
  return [...drivers].sort();
}

/** The node that an allocation is bound to, when it is one. */
function allocatedNode(allocation: DeepReadonly<AllocationResult>): string | undefined {
  const [term, ...more] = allocation.nodeSelector?.nodeSelectorTerms ?? [];
  if (term === undefined || more.length > 0 || (term.matchExpressions ?? []).length > 0)
    return undefined;
  const [field, ...others] = term.matchFields ?? [];
  if (field?.key !== "metadata.name" || field.operator !== "In" || others.length > 0)
    return undefined;
  return field.values?.length === 1 ? field.values[0] : undefined;
}

/** True for a service account whose token was made for a pod on that node. */
function isOnNode({ user }: Context["request"], node: string | undefined): boolean {
  if (node === undefined || !user.name.startsWith("system:serviceaccount:")) return false;
  const names = user.extra[nodeNameKey] ?? [];
  return names.length === 1 && names[0] === node && subdomainErrors(node).length === 0;
}

async function permitDriver(driver: string, verbs: readonly string[], context: Context) {
  const attributes = attributesOf(context.request);
  let first: string | undefined;
  for (const verb of verbs) {
    const asked = { ...attributes, verb, subresource: "driver", name: driver };
    const refused = await refusal(asked, context);
    if (refused === undefined) return [];
    first ??= refused;
  }
  const needed = `resource="resourceclaims/driver", verb="[${verbs.join(" ")}]" permission`;
  return [forbidden("status.devices", `changing status.devices requires ${needed}: ${first}`)];
}

/** Whether the user may change of a claim's status what is changed. */
export async function permitStatus(
  claim: DeepReadonly<ResourceClaim>,
  context: PermitContext<ResourceClaim>,
): Promise<FieldError[]> {
  const now = claim.status ?? {};
  const before = context.old?.status ?? {};
  const wasAdmin = adminResult(before) >= 0;
  const { namespace = "" } = claim.metadata;
  const results = "status.allocation.devices.results";
  const errors = wasAdmin ? [] : await permitAdmin(adminResult(now), results, namespace, context);
  errors.push(...(await permitBinding(now, before, context)));
  if (now.allocation === undefined) return errors;
  const { verb } = attributesOf(context.request);
  const isAssociated = isOnNode(context.request, allocatedNode(now.allocation));
  const verbs = [...(isAssociated ? [`associated-node:${verb}`] : []), `arbitrary-node:${verb}`];
  for (const driver of changedDrivers(now, before))
    errors.push(...(await permitDriver(driver, verbs, context)));
  return errors;
}
