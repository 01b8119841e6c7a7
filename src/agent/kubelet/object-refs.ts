/** The ConfigMaps and Secrets that a pod names. Pure. */
import { containersOf, type Pod } from "./types.ts";

export interface ObjectRef {
  readonly kind: "configmap" | "secret";
  readonly namespace: string;
  readonly name: string;
}

export function refKey({ kind, namespace, name }: ObjectRef): string {
  return `${kind} ${namespace}/${name}`;
}

/** What volumes, variables and image pulls of the pod read, each object once. */
export function objectRefs(pod: Pod): readonly ObjectRef[] {
  const { namespace = "" } = pod.metadata;
  const found = new Map<string, ObjectRef>();
  const add = (kind: ObjectRef["kind"], name: string | undefined): void => {
    if (name === undefined || name === "") return;
    const ref = { kind, namespace, name };
    found.set(refKey(ref), ref);
  };
  for (const volume of pod.spec.volumes ?? []) {
    add("configmap", volume.configMap?.name);
    add("secret", volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      add("configmap", source.configMap?.name);
      add("secret", source.secret?.name);
    }
  }
  for (const { container } of containersOf(pod)) {
    for (const source of container.envFrom ?? []) {
      add("configmap", source.configMapRef?.name);
      add("secret", source.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add("configmap", valueFrom?.configMapKeyRef?.name);
      add("secret", valueFrom?.secretKeyRef?.name);
    }
  }
  for (const secret of pod.spec.imagePullSecrets ?? []) add("secret", secret.name);
  return [...found.values()];
}
