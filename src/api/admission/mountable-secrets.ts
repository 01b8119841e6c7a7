/**
 * The validating half of ServiceAccount: the secrets of a pod whose account says that only its own
 * may be used, whatever kind of container names them (CVE-2023-2728, CVE-2024-3177), and what a
 * mirror pod may not refer to.
 */
import type { Container, EphemeralContainer, Pod, ServiceAccount } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { secretsOf } from "../auth/node-authorizer.ts";

type LivePod = DeepReadonly<Pod>;
type LiveAccount = DeepReadonly<ServiceAccount>;
type LiveContainer = DeepReadonly<Container | EphemeralContainer>;

const annotation = "kubernetes.io/enforce-mountable-secrets";
/** As Go reads a truth value. */
const truths: ReadonlySet<string> = new Set(["1", "t", "T", "true", "TRUE", "True"]);

export function enforcesSecrets({ metadata }: LiveAccount): boolean {
  return truths.has(metadata.annotations?.[annotation] ?? "");
}

/** Why the new pod may not refer to its secrets; undefined when it may. */
export function secretProblem(pod: LivePod, account: LiveAccount): string | undefined {
  const { volumes = [], initContainers = [], containers, imagePullSecrets = [] } = pod.spec;
  const own = ownSecrets(account);
  const { name } = account.metadata;
  for (const { secret } of volumes) {
    if (secret === undefined || own.has(secret.secretName ?? "")) continue;
    const what = `volume with secret.secretName="${secret.secretName ?? ""}"`;
    return `${what} is not allowed because service account ${name} does not reference that secret`;
  }
  const problem =
    containerProblem("init container", initContainers, account) ??
    containerProblem("container", containers, account);
  if (problem !== undefined) return problem;
  const pulls = new Set((account.imagePullSecrets ?? []).map((secret) => secret.name));
  const at = imagePullSecrets.findIndex((secret) => !pulls.has(secret.name));
  if (at < 0) return undefined;
  const what = `imagePullSecrets[${at}].name="${imagePullSecrets[at]?.name}"`;
  const why = `service account ${name} does not reference that imagePullSecret`;
  return `${what} is not allowed because ${why}`;
}

/** As `secretProblem`, of the containers that are added to a pod that runs. */
export function ephemeralSecretProblem(pod: LivePod, account: LiveAccount): string | undefined {
  return containerProblem("ephemeral container", pod.spec.ephemeralContainers ?? [], account);
}

/** Nothing of a mirror pod may give its node more than a file on it could. */
export function mirrorProblem(pod: LivePod): string | undefined {
  if ((pod.spec.serviceAccountName ?? "") !== "") {
    return "a mirror pod may not reference service accounts";
  }
  if (!secretsOf(pod).next().done) return "a mirror pod may not reference secrets";
  const sources = (pod.spec.volumes ?? []).flatMap(({ projected }) => projected?.sources ?? []);
  return sources.some(({ serviceAccountToken }) => serviceAccountToken !== undefined)
    ? "a mirror pod may not use ServiceAccountToken volume projections"
    : undefined;
}

function ownSecrets({ secrets = [] }: LiveAccount): ReadonlySet<string> {
  return new Set(secrets.map(({ name = "" }) => name));
}

function containerProblem(
  kind: string,
  containers: readonly LiveContainer[],
  account: LiveAccount,
): string | undefined {
  const own = ownSecrets(account);
  const why = `service account ${account.metadata.name} does not reference that secret`;
  const refuse = (container: LiveContainer, by: string, secret: string): string =>
    `${kind} ${container.name} with ${by} referencing secret.secretName="${secret}" ` +
    `is not allowed because ${why}`;
  for (const container of containers) {
    for (const { name, valueFrom } of container.env ?? []) {
      const secret = valueFrom?.secretKeyRef?.name;
      if (secret !== undefined && !own.has(secret)) {
        return refuse(container, `envVar ${name}`, secret);
      }
    }
    for (const { secretRef } of container.envFrom ?? []) {
      const secret = secretRef?.name;
      if (secret !== undefined && !own.has(secret)) return refuse(container, "envFrom", secret);
    }
  }
  return undefined;
}
