/** ServiceAccount: every pod runs as one, and finds its token, the CA and its namespace mounted. */
import { serviceAccounts } from "../../client/resources.ts";
import type { Pod, ServiceAccount, Volume } from "../../gen/core-v1.ts";
import { ApiError, isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import {
  enforcesSecrets,
  ephemeralSecretProblem,
  mirrorProblem,
  secretProblem,
} from "./mountable-secrets.ts";

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Upstream adds 7 s to the hour so that tokens of one kubelet are told from others in audits. */
const tokenSeconds = 3607;
const mirrorAnnotation = "kubernetes.io/config.mirror";

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  async mutate(object, context) {
    const { definition, verb, subresource } = context;
    if (definition.plural !== "pods" || definition.group !== "") return;
    if (verb !== "CREATE" || subresource !== "") return;
    const pod = object as Pod;
    if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) return;
    const name = pod.spec.serviceAccountName || "default";
    pod.spec.serviceAccountName = name;
    pod.spec.serviceAccount = name;
    const account = await find(context, name);
    if (pod.spec.imagePullSecrets === undefined && account.imagePullSecrets !== undefined) {
      pod.spec.imagePullSecrets = account.imagePullSecrets.map((secret) => ({ ...secret }));
    }
    const mounts =
      pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
    if (mounts) mountToken(pod, context);
  },
  async validate(object, context) {
    const { definition, verb, subresource } = context;
    if (definition.plural !== "pods" || definition.group !== "") return;
    const isNew = verb === "CREATE" && subresource === "";
    const isMore = verb === "UPDATE" && subresource === "ephemeralcontainers";
    if (!isNew && !isMore) return;
    const pod = object as DeepReadonly<Pod>;
    const problem = await problemOf(pod, isMore, context);
    if (problem !== undefined) throw refused(definition, context.name, problem);
  },
};

async function problemOf(
  pod: DeepReadonly<Pod>,
  isMore: boolean,
  context: AdmissionContext,
): Promise<string | undefined> {
  const isMirror = pod.metadata.annotations?.[mirrorAnnotation] !== undefined;
  if (isMirror && !isMore) return mirrorProblem(pod);
  const { serviceAccountName = "" } = pod.spec;
  if (serviceAccountName === "") {
    return `no service account specified for pod ${context.namespace}/${context.name}`;
  }
  const account = await find(context, serviceAccountName);
  if (!enforcesSecrets(account)) return undefined;
  return isMore ? ephemeralSecretProblem(pod, account) : secretProblem(pod, account);
}

async function find(
  context: AdmissionContext,
  name: string,
): Promise<DeepReadonly<ServiceAccount>> {
  const { namespace } = context;
  const cached = context.live.of(serviceAccounts).get(`${namespace}/${name}`);
  if (cached !== undefined) return cached.object;
  try {
    return await context.client.get(serviceAccounts, namespace, name);
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
    throw new ApiError(
      "Forbidden",
      `pods ${JSON.stringify(context.name)} is forbidden: ` +
        `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
      { details: { name: context.name, kind: "pods" } },
    );
  }
}

function mountToken(pod: Pod, context: AdmissionContext): void {
  const containers = [...(pod.spec.initContainers ?? []), ...(pod.spec.containers ?? [])];
  const bare = containers.filter(
    ({ volumeMounts = [] }) => !volumeMounts.some((mount) => mount.mountPath === mountPath),
  );
  if (bare.length === 0) return;
  const name = `kube-api-access-${context.runtime.random.suffix(5)}`;
  for (const container of bare) {
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath },
    ];
  }
  pod.spec.volumes = [...(pod.spec.volumes ?? []), tokenVolume(name)];
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        {
          configMap: {
            name: "kube-root-ca.crt",
            items: [{ key: "ca.crt", path: "ca.crt" }],
          },
        },
        {
          downwardAPI: {
            items: [
              {
                path: "namespace",
                fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" },
              },
            ],
          },
        },
      ],
    },
  };
}
