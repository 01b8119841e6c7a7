/** What a kubelet may do: read what its own pods use, write what is its own. */
import {
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  resourceSlices,
  volumeAttachments,
} from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { parseFieldSelector, SelectorError } from "../../lib/selector.ts";
import type { LiveSets } from "../../live/live-set.ts";
import { indexPodsByNode, podsByNode } from "../../live/pods-by-node.ts";
import { claimNames } from "../../schema/pod-claims.ts";
import type { Attributes, Authorizer, Decision, UserRules } from "../authorizer.ts";

const denied: Decision = { allowed: false, reason: "" };
const allowed: Decision = { allowed: true, reason: "" };
const nodePrefix = "system:node:";

/** The node that a user is, or undefined. */
export function nodeNameOf(user: Attributes["user"]): string | undefined {
  if (!user.groups.includes("system:nodes") || !user.name.startsWith(nodePrefix)) return undefined;
  return user.name.slice(nodePrefix.length) || undefined;
}

const reads = ["get", "list", "watch"];

/** `group/resource[/subresource]` and the verbs that every kubelet has on it. */
const always: Readonly<Record<string, readonly string[]>> = {
  "/services": reads,
  "/nodes": ["create"],
  "/namespaces": reads,
  "/endpoints": reads,
  "/pods": ["create", "delete"],
  "/pods/status": ["patch", "update"],
  "/pods/eviction": ["create"],
  "/pods/binding": [],
  "/events": ["create", "patch", "update"],
  "/persistentvolumes": [],
  "discovery.k8s.io/endpointslices": reads,
  "networking.k8s.io/networkpolicies": reads,
  "networking.k8s.io/ingresses": reads,
  "networking.k8s.io/ingressclasses": reads,
  "node.k8s.io/runtimeclasses": reads,
  "storage.k8s.io/csidrivers": reads,
  "storage.k8s.io/storageclasses": reads,
  "certificates.k8s.io/certificatesigningrequests": ["create", ...reads],
  "authentication.k8s.io/tokenreviews": ["create"],
  "authorization.k8s.io/subjectaccessreviews": ["create"],
  "authorization.k8s.io/localsubjectaccessreviews": ["create"],
};

/** Resources named like the node that belong to it. */
const own: Readonly<Record<string, readonly string[]>> = {
  "/nodes": [...reads, "patch", "update"],
  "/nodes/status": ["patch", "update"],
  "coordination.k8s.io/leases": ["create", "delete", "get", "patch", "update"],
  "storage.k8s.io/csinodes": ["create", "delete", "get", "patch", "update"],
};

type Uses = (pod: DeepReadonly<Pod>) => Iterable<string>;

function* containersOf(pod: DeepReadonly<Pod>) {
  yield* pod.spec.initContainers ?? [];
  yield* pod.spec.containers ?? [];
  yield* pod.spec.ephemeralContainers ?? [];
}

export function* secretsOf(pod: DeepReadonly<Pod>): Generator<string> {
  for (const secret of pod.spec.imagePullSecrets ?? []) yield secret.name ?? "";
  for (const volume of pod.spec.volumes ?? []) {
    yield volume.secret?.secretName ?? "";
    yield volume.csi?.nodePublishSecretRef?.name ?? "";
    yield volume.cephfs?.secretRef?.name ?? "";
    yield volume.iscsi?.secretRef?.name ?? "";
    yield volume.rbd?.secretRef?.name ?? "";
    for (const source of volume.projected?.sources ?? []) yield source.secret?.name ?? "";
  }
  for (const container of containersOf(pod)) {
    for (const source of container.envFrom ?? []) yield source.secretRef?.name ?? "";
    for (const variable of container.env ?? []) yield variable.valueFrom?.secretKeyRef?.name ?? "";
  }
}

export function* configMapsOf(pod: DeepReadonly<Pod>): Generator<string> {
  for (const volume of pod.spec.volumes ?? []) {
    yield volume.configMap?.name ?? "";
    for (const source of volume.projected?.sources ?? []) yield source.configMap?.name ?? "";
  }
  for (const container of containersOf(pod)) {
    for (const source of container.envFrom ?? []) yield source.configMapRef?.name ?? "";
    for (const variable of container.env ?? [])
      yield variable.valueFrom?.configMapKeyRef?.name ?? "";
  }
}

export function* claimsOf(pod: DeepReadonly<Pod>): Generator<string> {
  for (const volume of pod.spec.volumes ?? []) {
    yield volume.persistentVolumeClaim?.claimName ?? "";
    if (volume.ephemeral) yield `${pod.metadata.name}-${volume.name}`;
  }
}

function* resourceClaimsOf(pod: DeepReadonly<Pod>): Generator<string> {
  yield* claimNames(pod);
}

function* accountsOf(pod: DeepReadonly<Pod>): Generator<string> {
  yield pod.spec.serviceAccountName ?? "";
}

/** What pods refer to, and what a kubelet may then do with it. */
const referenced: Readonly<
  Record<string, { readonly uses: Uses; readonly verbs: readonly string[] }>
> = {
  "/secrets": { uses: secretsOf, verbs: reads },
  "/configmaps": { uses: configMapsOf, verbs: reads },
  "/persistentvolumeclaims": { uses: claimsOf, verbs: ["get"] },
  "/persistentvolumeclaims/status": { uses: claimsOf, verbs: ["get", "patch", "update"] },
  "resource.k8s.io/resourceclaims": { uses: resourceClaimsOf, verbs: ["get"] },
  "/serviceaccounts": { uses: accountsOf, verbs: ["get"] },
  "/serviceaccounts/token": { uses: accountsOf, verbs: ["create"] },
};

function isNarrowed(fieldSelector: string, nodeName: string): boolean {
  try {
    return parseFieldSelector(fieldSelector).some(
      ({ field, operator, value }) =>
        field === podsByNode && operator === "=" && value === nodeName,
    );
  } catch (error) {
    if (error instanceof SelectorError) return false;
    throw error;
  }
}

function refusalOf(nodeName: string, attributes: Attributes, isKnown: boolean): string {
  const { group, resource, subresource, name, verb } = attributes;
  const reading = group === "" && subresource === "" && reads.includes(verb);
  const isLookedUp = group === "" && ["configmaps", "secrets"].includes(resource);
  if (name === "" && (isLookedUp || (resource === "pods" && verb === "get")))
    return "No Object name found";
  if (reading && resource === "nodes") {
    const what = name === "" ? "all nodes" : `'${name}'`;
    return `node '${nodeName}' cannot read ${what}, only its own Node object`;
  }
  if (reading && resource === "pods" && name === "") {
    return "can only list/watch pods with spec.nodeName field selector";
  }
  if (name === "" || !isKnown) return "";
  return `no relationship found between node '${nodeName}' and this object`;
}

/** Of an authorizer that decides case by case. */
export function unknownRules(error: string): UserRules {
  return { resourceRules: [], nonResourceRules: [], isIncomplete: true, errors: [error] };
}

/** Whether some pod of a node uses an object of that name. */
function usesOf(live: LiveSets) {
  return (nodeName: string, namespace: string, name: string, uses: Uses): boolean => {
    for (const { object } of live.of(pods).by(podsByNode, nodeName)) {
      if (object.metadata.namespace !== namespace) continue;
      for (const used of uses(object)) if (used !== "" && used === name) return true;
    }
    return false;
  };
}

/** What a node may read of the storage behind its pods. */
function storageReads(live: LiveSets) {
  const uses = usesOf(live);
  return {
    volume(nodeName: string, name: string): boolean {
      const claim = live.of(persistentVolumes).get(name)?.object.spec.claimRef;
      if (!claim?.namespace || !claim.name) return false;
      const bound = live.of(persistentVolumeClaims).get(`${claim.namespace}/${claim.name}`);
      if (bound === undefined) return false;
      return uses(nodeName, claim.namespace, claim.name, claimsOf);
    },
    attachment: (nodeName: string, name: string): boolean =>
      live.of(volumeAttachments).get(name)?.object.spec.nodeName === nodeName,
    /** Drivers of volumes are given secrets that the volumes name. */
    secret(nodeName: string, namespace: string, name: string): boolean {
      for (const { object: pod } of live.of(pods).by(podsByNode, nodeName)) {
        for (const claimName of claimsOf(pod)) {
          const key = `${pod.metadata.namespace}/${claimName}`;
          const claim = live.of(persistentVolumeClaims).get(key)?.object;
          const csi = live.of(persistentVolumes).get(claim?.spec.volumeName ?? "")?.object.spec.csi;
          const { nodeStageSecretRef, nodePublishSecretRef, nodeExpandSecretRef } = csi ?? {};
          const refs = [nodeStageSecretRef, nodePublishSecretRef, nodeExpandSecretRef];
          if (refs.some((ref) => ref?.namespace === namespace && ref.name === name)) return true;
        }
      }
      return false;
    },
  };
}

/** Authorizes the users `system:node:<name>` of group `system:nodes`; silent on all others. */
export function createNodeAuthorizer(live: LiveSets): Authorizer {
  const podSet = live.of(pods);
  indexPodsByNode(podSet);

  const uses = usesOf(live);
  const storage = storageReads(live);

  /** Its own, by name; or those that a selector narrows to its own. */
  function mayReadPods(
    nodeName: string,
    { fieldSelector = "", verb, ...pod }: Attributes,
  ): boolean {
    if (verb !== "get" && isNarrowed(fieldSelector, nodeName)) return true;
    if (pod.name === "") return false;
    return podSet.get(`${pod.namespace}/${pod.name}`)?.object.spec.nodeName === nodeName;
  }

  /** Slices of devices name their node; that of a new one is checked by admission. */
  function mayUseSlices(nodeName: string, { fieldSelector = "", verb, name }: Attributes): boolean {
    if (verb === "create") return true;
    if (["list", "watch", "deletecollection"].includes(verb))
      return isNarrowed(fieldSelector, nodeName);
    if (!["delete", "get", "patch", "update"].includes(verb)) return false;
    return live.of(resourceSlices).get(name)?.object.spec.nodeName === nodeName;
  }

  function decide(nodeName: string, attributes: Attributes): boolean {
    const { group, resource, subresource, verb, namespace, name } = attributes;
    const what = `${group}/${resource}${subresource === "" ? "" : `/${subresource}`}`;
    if (always[what]?.includes(verb)) return true;
    if (what === "coordination.k8s.io/leases" && namespace !== "kube-node-lease") return false;
    // The name of what is being created stands in the body: admission checks it.
    const isOwn = name === nodeName || (verb === "create" && name === "");
    if (own[what]?.includes(verb) && isOwn) return true;
    if (what === "/persistentvolumes" && verb === "get") return storage.volume(nodeName, name);
    if (what === "/pods" && reads.includes(verb)) return mayReadPods(nodeName, attributes);
    if (what === "resource.k8s.io/resourceslices") return mayUseSlices(nodeName, attributes);
    if (what === "storage.k8s.io/volumeattachments" && verb === "get")
      return storage.attachment(nodeName, name);
    const isSecret = what === "/secrets" && reads.includes(verb) && name !== "";
    if (isSecret && storage.secret(nodeName, namespace, name)) return true;
    const reference = referenced[what];
    if (reference?.verbs.includes(verb) && name !== "")
      return uses(nodeName, namespace, name, reference.uses);
    return false;
  }

  return {
    async authorize(attributes): Promise<Decision> {
      const nodeName = nodeNameOf(attributes.user);
      if (nodeName === undefined || !attributes.isResourceRequest) return denied;
      if (decide(nodeName, attributes)) return allowed;
      const known = live.of(nodes).get(nodeName) !== undefined;
      return { allowed: false, reason: refusalOf(nodeName, attributes, known) };
    },
    rulesFor: (user) =>
      nodeNameOf(user) === undefined
        ? undefined
        : unknownRules("node authorizer does not support user rule resolution"),
  };
}
