/** What NodeRestriction asks of a pod that a kubelet creates: the mirror of a static pod. */
import { nodes } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { OwnerReference } from "../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import { claimsOf, configMapsOf, secretsOf } from "../auth/node-authorizer.ts";
import { notFound, refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

const annotation = "kubernetes.io/config.mirror";

/** Throws Forbidden unless the pod is bound to `node`, owned by it, and refers to nothing else. */
export async function checkMirrorPod(
  pod: DeepReadonly<Pod>,
  context: AdmissionContext,
  node: string,
): Promise<void> {
  const refuse = (why: string): Error => refused(context.definition, context.name, why);
  const itself = `node "${node}"`;
  if (pod.metadata.annotations?.[annotation] === undefined) {
    throw refuse(
      `pod does not have "${annotation}" annotation, ${itself} can only create mirror pods`,
    );
  }
  if (pod.spec.nodeName !== node) {
    throw refuse(`${itself} can only create pods with spec.nodeName set to itself`);
  }
  const owners = pod.metadata.ownerReferences ?? [];
  if (owners.length > 1) {
    throw refuse(`${itself} can only create pods with a single owner reference set to itself`);
  }
  const problem = ownerProblem(owners[0], node);
  if (problem !== undefined) throw refuse(`${itself} ${problem}`);
  const own = await lookUp(context.live, nodes, "", node);
  if (own === undefined) throw notFound(nodes, node);
  const [wanted, actual] = [owners[0]?.uid, own.metadata.uid];
  if (wanted !== actual) {
    throw refuse(`node ${node} UID mismatch: expected ${wanted} got ${actual}`);
  }
  const referred = referredKind(pod);
  if (referred !== undefined)
    throw refuse(`${itself} can not create pods that reference ${referred}`);
}

function ownerProblem(
  owner: DeepReadonly<OwnerReference> | undefined,
  node: string,
): string | undefined {
  const isItself = owner?.apiVersion === "v1" && owner.kind === "Node" && owner.name === node;
  if (!isItself) return "can only create pods with an owner reference set to itself";
  if (owner.controller !== true) {
    return "can only create pods with a controller owner reference set to itself";
  }
  if (owner.blockOwnerDeletion === true) {
    return "must not set blockOwnerDeletion on an owner reference";
  }
  return undefined;
}

function referredKind(pod: DeepReadonly<Pod>): string | undefined {
  const names = (uses: Iterable<string>): boolean => [...uses].some((name) => name !== "");
  const sources = (pod.spec.volumes ?? []).flatMap(({ projected }) => projected?.sources ?? []);
  if (pod.spec.serviceAccountName) return "a service account";
  if (names(secretsOf(pod))) return "secrets";
  if (names(configMapsOf(pod))) return "configmaps";
  if (sources.some(({ clusterTrustBundle }) => clusterTrustBundle)) return "clustertrustbundles";
  if (names(claimsOf(pod))) return "persistentvolumeclaims";
  if ((pod.spec.resourceClaims ?? []).length > 0) return "resourceclaims";
  return undefined;
}
