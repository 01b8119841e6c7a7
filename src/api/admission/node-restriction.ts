/** NodeRestriction: a kubelet writes only its own node, its pods, and what hangs on them. */
import {
  csiDrivers,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
} from "../../client/resources.ts";
import type { TokenRequest } from "../../gen/authentication-v1.ts";
import type { Node, PersistentVolumeClaim, Pod } from "../../gen/core-v1.ts";
import type { ResourceSlice } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { copyJson } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { claimsOf, nodeNameOf } from "../auth/node-authorizer.ts";
import { groupResource, notFound, refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";
import { checkMirrorPod } from "./mirror-pod.ts";

type ReadPod = DeepReadonly<Pod>;
type Rule = (object: DeepReadonly<KubeObject>, context: AdmissionContext, node: string) => unknown;

export const nodeRestriction: AdmissionPlugin = {
  name: "NodeRestriction",
  async validate(object, context) {
    const { user } = context.request;
    if (!user.groups.includes("system:nodes") || !user.name.startsWith("system:node:")) return;
    const nodeName = nodeNameOf(user);
    if (nodeName === undefined) {
      throw refuse(context, `could not determine node from user ${JSON.stringify(user.name)}`);
    }
    if (context.verb === "CONNECT") return;
    await rules[groupResource(context.definition)]?.(object, context, nodeName);
  },
};

function refuse({ definition, name }: AdmissionContext, why: string): Error {
  return refused(definition, name, why);
}

const rules: Readonly<Record<string, Rule>> = {
  pods: checkPod,
  nodes: checkNode,
  persistentvolumeclaims: checkClaim,
  serviceaccounts: checkToken,
  "leases.coordination.k8s.io": checkLease,
  "csinodes.storage.k8s.io": checkCsiNode,
  "resourceslices.resource.k8s.io": checkSlice,
};

/** What is deleted together is seen here one by one. */
function checkSlice(
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
  node: string,
): void {
  const { verb } = context;
  if (verb !== "CREATE" && verb !== "DELETE") return;
  if ((object as DeepReadonly<ResourceSlice>).spec.nodeName === node) return;
  const rule = "ResourceSlice with the same NodeName as the requesting node";
  throw refuse(context, `can only ${verb.toLowerCase()} ${rule}`);
}

async function checkPod(
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
  node: string,
): Promise<void> {
  const { subresource } = context;
  const pod = object as ReadPod;
  if (subresource === "") await checkPodItself(pod, context, node);
  else if (subresource === "status") checkPodStatus(pod, context, node);
  else if (subresource === "eviction") await checkEviction(context, node);
  else {
    const allowed = "only 'status' and 'eviction' are allowed";
    throw refuse(context, `unexpected pod subresource "${subresource}", ${allowed}`);
  }
}

async function checkPodItself(
  pod: ReadPod,
  context: AdmissionContext,
  node: string,
): Promise<void> {
  const { verb } = context;
  if (verb === "CREATE") {
    await checkMirrorPod(pod, context, node);
    return;
  }
  if (verb !== "DELETE") {
    const allowed = `node "${node}" can only create and delete mirror pods`;
    throw refuse(context, `unexpected operation "${verb}", ${allowed}`);
  }
  if (pod.spec.nodeName === node) return;
  throw refuse(context, `node "${node}" can only delete pods with spec.nodeName set to itself`);
}

function checkPodStatus(pod: ReadPod, context: AdmissionContext, node: string): void {
  const old = context.old as ReadPod;
  if (old.spec.nodeName !== node) {
    throw refuse(
      context,
      `node "${node}" can only update pod status for pods with spec.nodeName set to itself`,
    );
  }
  if (!semanticEqual(pod.metadata.labels, old.metadata.labels)) {
    throw refuse(context, `node "${node}" cannot update labels through pod status`);
  }
  if (!semanticEqual(pod.status?.resourceClaimStatuses, old.status?.resourceClaimStatuses)) {
    throw refuse(context, `node "${node}" cannot update resource claim statues`);
  }
}

async function checkEviction(context: AdmissionContext, node: string): Promise<void> {
  const { live, namespace, request } = context;
  const pod = await lookUp(live, pods, namespace, request.name);
  if (pod === undefined) throw notFound(pods, request.name);
  if (pod.spec.nodeName === node) return;
  throw refuse(context, `node ${node} can only evict pods with spec.nodeName set to itself`);
}

/** Labels a kubelet sets on itself although they are Kubernetes' own. */
const kubeletLabels: ReadonlySet<string> = new Set([
  "kubernetes.io/hostname",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "node.kubernetes.io/instance-type",
  "beta.kubernetes.io/instance-type",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
]);
const kubeletDomains = ["kubelet.kubernetes.io", "node.kubernetes.io"];

function isWithin(domain: string, parent: string): boolean {
  return domain === parent || domain.endsWith(`.${parent}`);
}

function isForbiddenLabel(key: string): boolean {
  const [domain = "", rest] = key.split("/", 2);
  if (rest === undefined) return false;
  if (isWithin(domain, "node-restriction.kubernetes.io")) return true;
  if (!isWithin(domain, "kubernetes.io") && !isWithin(domain, "k8s.io")) return false;
  return !kubeletLabels.has(key) && !kubeletDomains.some((parent) => isWithin(domain, parent));
}

function forbiddenChanges(now: Labels | undefined, before: Labels | undefined): string {
  const keys = new Set([...Object.keys(now ?? {}), ...Object.keys(before ?? {})]);
  return [...keys]
    .filter((key) => now?.[key] !== before?.[key] && isForbiddenLabel(key))
    .sort()
    .join(", ");
}

type Labels = Readonly<Record<string, string>>;

function checkNode(object: DeepReadonly<KubeObject>, context: AdmissionContext, own: string): void {
  const { name, verb } = context;
  if (name !== own) throw refuse(context, `node "${own}" is not allowed to modify node "${name}"`);
  const node = object as DeepReadonly<Node>;
  if (verb === "CREATE") {
    const keys = forbiddenChanges(node.metadata.labels, undefined);
    if (keys === "") return;
    throw refuse(context, `node "${own}" is not allowed to set the following labels: ${keys}`);
  }
  if (verb !== "UPDATE") return;
  const old = context.old as DeepReadonly<Node>;
  if (!semanticEqual(node.spec.taints, old.spec.taints)) {
    throw refuse(context, `node "${own}" is not allowed to modify taints`);
  }
  const keys = forbiddenChanges(node.metadata.labels, old.metadata.labels);
  if (keys !== "") throw refuse(context, `is not allowed to modify labels: ${keys}`);
  if (!semanticEqual(node.metadata.ownerReferences, old.metadata.ownerReferences)) {
    throw refuse(context, `node "${own}" is not allowed to modify ownerReferences`);
  }
}

function checkClaim(
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
  node: string,
): void {
  if (context.subresource !== "status") throw refuse(context, "may only update PVC status");
  const bare = (one: DeepReadonly<KubeObject>): PersistentVolumeClaim => {
    const claim = copyJson<PersistentVolumeClaim>(one as PersistentVolumeClaim);
    delete claim.metadata.resourceVersion;
    delete claim.metadata.managedFields;
    const { capacity, conditions, allocatedResources, allocatedResourceStatuses, ...rest } =
      claim.status ?? {};
    return { ...claim, status: rest };
  };
  if (context.old !== undefined && semanticEqual(bare(object), bare(context.old))) return;
  throw refuse(
    context,
    `node "${node}" is not allowed to update fields other than status.capacity and ` +
      "status.conditions",
  );
}

async function checkToken(
  object: DeepReadonly<KubeObject>,
  context: AdmissionContext,
  node: string,
): Promise<void> {
  if (context.verb !== "CREATE" || context.subresource !== "token") return;
  const { spec } = object as unknown as DeepReadonly<TokenRequest>;
  const ref = spec?.boundObjectRef;
  if (ref?.apiVersion !== "v1" || ref.kind !== "Pod" || !ref.name) {
    throw refuse(context, "node requested token not bound to a pod");
  }
  if (!ref.uid) throw refuse(context, "node requested token with a pod binding without a uid");
  const pod = await lookUp(context.live, pods, context.namespace, ref.name);
  if (pod === undefined) throw notFound(pods, ref.name);
  if (ref.uid !== pod.metadata.uid) {
    throw refuse(
      context,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The ` +
        "object might have been deleted and then recreated",
    );
  }
  if (pod.spec.nodeName !== node) {
    throw refuse(context, "node requested token bound to a pod scheduled on a different node");
  }
  const needed = await audiencesOf(pod, context);
  for (const audience of spec.audiences ?? []) {
    if (audience === "" || needed.has(audience)) continue;
    if (await mayAskFor(audience, context)) continue;
    throw refuse(context, `audience "${audience}" not found in pod spec volume`);
  }
}

/** What the pod's own volumes need tokens for. */
async function audiencesOf(pod: ReadPod, context: AdmissionContext): Promise<ReadonlySet<string>> {
  const { live, namespace } = context;
  const audiences = new Set<string>();
  const drivers = new Set<string>();
  for (const { projected, csi } of pod.spec.volumes ?? []) {
    if (csi) drivers.add(csi.driver);
    for (const { serviceAccountToken } of projected?.sources ?? []) {
      if (serviceAccountToken?.audience) audiences.add(serviceAccountToken.audience);
    }
  }
  for (const name of claimsOf(pod)) {
    const claim = await lookUp(live, persistentVolumeClaims, namespace, name);
    const volume = await lookUp(live, persistentVolumes, "", claim?.spec.volumeName ?? "");
    if (volume?.spec.csi) drivers.add(volume.spec.csi.driver);
  }
  for (const name of drivers) {
    const driver = await lookUp(live, csiDrivers, "", name);
    for (const { audience } of driver?.spec.tokenRequests ?? []) audiences.add(audience);
  }
  return audiences;
}

/** An administrator may allow nodes an audience that no pod asks for. */
async function mayAskFor(audience: string, context: AdmissionContext): Promise<boolean> {
  const { allowed } = await context.authorizer.authorize({
    user: context.request.user,
    verb: "request-serviceaccounts-token-audience",
    group: "",
    version: "v1",
    resource: audience,
    subresource: "",
    namespace: context.namespace,
    name: context.request.name,
    path: "",
    isResourceRequest: true,
  });
  return allowed;
}

function checkLease(_object: unknown, context: AdmissionContext, node: string): void {
  const system = "kube-node-lease";
  if (context.namespace !== system) {
    throw refuse(context, `can only access leases in the "${system}" system namespace`);
  }
  if (context.name === node) return;
  throw refuse(context, "can only access node lease with the same name as the requesting node");
}

function checkCsiNode(_object: unknown, context: AdmissionContext, node: string): void {
  if (context.name === node) return;
  throw refuse(context, "can only access CSINode with the same name as the requesting node");
}
