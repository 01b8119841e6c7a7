/** ServiceAccount: every pod runs as one, and finds its token, the CA and its namespace mounted. */
import { serviceAccounts } from "../../client/resources.ts";
import type { Pod, ServiceAccount, Volume } from "../../gen/core-v1.ts";
import { ApiError, isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";

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
};

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
