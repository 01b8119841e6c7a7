/** Upstream's plugins that are off unless asked for by `enable-admission-plugins`. */
import { namespaces } from "../../client/resources.ts";
import type { Pod, Service } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { notFound, refused } from "../errors.ts";
import { lookUp } from "./look-up.ts";

type LivePod = DeepReadonly<Pod>;

/** Of the pod itself, not of one of its subresources. */
function isPod({ definition, subresource, verb }: AdmissionContext): boolean {
  const isWritten = verb === "CREATE" || verb === "UPDATE";
  return definition.group === "" && definition.plural === "pods" && subresource === "" && isWritten;
}

function containersOf({ spec }: LivePod) {
  return [
    ...(spec.initContainers ?? []),
    ...spec.containers,
    ...(spec.ephemeralContainers ?? []),
  ] as const;
}

export const alwaysAdmit: AdmissionPlugin = { name: "AlwaysAdmit" };

export const alwaysDeny: AdmissionPlugin = {
  name: "AlwaysDeny",
  async validate(_object, { definition, name, verb }) {
    if (verb === "CONNECT") return;
    throw refused(definition, name, "admission control is denying all modifications");
  },
};

function bringsImages(pod: LivePod, context: AdmissionContext): boolean {
  if (!isPod(context)) return false;
  if (context.old === undefined) return true;
  const known = new Set(containersOf(context.old as LivePod).map(({ image }) => image));
  return containersOf(pod).some(({ image }) => !known.has(image));
}

/** Whoever runs an image that lies on the node must be allowed to pull it (KEP-4639 too). */
export const alwaysPullImages: AdmissionPlugin = {
  name: "AlwaysPullImages",
  async mutate(object, context) {
    const pod = object as Pod;
    if (!bringsImages(pod, context)) return;
    const { containers, initContainers = [], ephemeralContainers = [], volumes = [] } = pod.spec;
    for (const container of [...containers, ...initContainers, ...ephemeralContainers]) {
      container.imagePullPolicy = "Always";
    }
    for (const { image } of volumes) if (image !== undefined) image.pullPolicy = "Always";
  },
  async validate(object, context) {
    const pod = object as LivePod;
    if (!bringsImages(pod, context)) return;
    const { containers, initContainers = [], volumes = [] } = pod.spec;
    const policies = [
      ...initContainers.map((one, index) => [`initContainers[${index}]`, one] as const),
      ...containers.map((one, index) => [`containers[${index}]`, one] as const),
    ].map(([place, one]) => [`spec.${place}.imagePullPolicy`, one.imagePullPolicy] as const);
    const ofVolumes = volumes.flatMap(({ image }, index) =>
      image === undefined ? [] : [[`spec.volumes[${index}].image.pullPolicy`, image.pullPolicy]],
    );
    for (const [field, policy] of [...policies, ...ofVolumes]) {
      if (policy === "Always") continue;
      const why = `${field}: Unsupported value: "${policy ?? ""}": supported values: "Always"`;
      throw refused(context.definition, context.name, why);
    }
  },
};

/** CVE-2020-8554: who may write a Service could take over traffic to any address. */
export const denyServiceExternalIps: AdmissionPlugin = {
  name: "DenyServiceExternalIPs",
  async validate(object, { definition, subresource, name, old, verb }) {
    const isService = definition.group === "" && definition.plural === "services";
    if (!isService || subresource !== "" || (verb !== "CREATE" && verb !== "UPDATE")) return;
    const before = new Set((old as DeepReadonly<Service> | undefined)?.spec?.externalIPs ?? []);
    const { externalIPs = [] } = (object as DeepReadonly<Service>).spec ?? {};
    if (externalIPs.every((ip) => before.has(ip))) return;
    throw refused(definition, name, "Use of external IPs is denied by admission control");
  },
};

const hostname = "kubernetes.io/hostname";

/** A pod that keeps others out of more than its own node could keep them out of everything. */
export const limitPodHardAntiAffinityTopology: AdmissionPlugin = {
  name: "LimitPodHardAntiAffinityTopology",
  async validate(object, context) {
    if (!isPod(context)) return;
    const { podAntiAffinity } = (object as LivePod).spec.affinity ?? {};
    const terms = podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const wide = terms.find(({ topologyKey }) => topologyKey !== hostname);
    if (wide === undefined) return;
    const where = "affinity.PodAntiAffinity.RequiredDuringScheduling";
    const why = `${where} has TopologyKey ${wide.topologyKey} but only key ${hostname} is allowed`;
    throw refused(context.definition, context.name, why);
  },
};

function isExtended(resource: string): boolean {
  const [domain = "", name] = resource.split("/");
  return name !== undefined && !domain.endsWith("kubernetes.io") && !domain.startsWith("requests.");
}

/** Nodes with devices are tainted by the devices' names: who asks for one may go there. */
export const extendedResourceToleration: AdmissionPlugin = {
  name: "ExtendedResourceToleration",
  async mutate(object, context) {
    if (!isPod(context)) return;
    const pod = object as Pod;
    const { containers, initContainers = [], tolerations = [] } = pod.spec;
    const asked = [...containers, ...initContainers].flatMap(({ resources }) =>
      Object.keys(resources?.requests ?? {}),
    );
    const wanted = [...new Set(asked.filter(isExtended))]
      .sort()
      .map((key) => ({ key, operator: "Exists", effect: "NoSchedule" }) as const);
    const isNew = (one: { readonly key: string }): boolean =>
      !tolerations.some(({ key, operator, effect }) => {
        return key === one.key && operator === "Exists" && effect === "NoSchedule";
      });
    const more = wanted.filter(isNew);
    if (more.length > 0) pod.spec.tolerations = [...tolerations, ...more];
  },
};

function needsNamespace({ definition, namespace, verb }: AdmissionContext): boolean {
  const isNamespace = definition.group === "" && definition.plural === "namespaces";
  return !isNamespace && namespace !== "" && definition.storagePrefix !== null && verb === "CREATE";
}

export const namespaceExists: AdmissionPlugin = {
  name: "NamespaceExists",
  async validate(_object, context) {
    if (context.namespace === "" || context.definition.plural === "namespaces") return;
    const found = await lookUp(context.live, namespaces, "", context.namespace);
    if (found === undefined) throw notFound(namespaces, context.namespace);
  },
};

export const namespaceAutoProvision: AdmissionPlugin = {
  name: "NamespaceAutoProvision",
  async mutate(_object, context) {
    const { client, live, namespace: name, dryRun } = context;
    if (!needsNamespace(context) || dryRun) return;
    if ((await lookUp(live, namespaces, "", name)) !== undefined) return;
    const made: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    await client.create(namespaces, { ...made, spec: {} }).catch((error: unknown) => {
      if (!isReason(error, "AlreadyExists")) throw error;
    });
  },
};
