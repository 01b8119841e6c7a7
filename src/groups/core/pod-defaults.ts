/** Computed defaults of a pod spec, wherever it stands: in a pod or in a template. */
import type {
  Container,
  EphemeralContainer,
  Lifecycle,
  PodSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from "../../gen/core-v1.ts";

type AnyContainer = Container | EphemeralContainer;

/** Sets each key of `values` that `object` lacks. */
export function fill<T extends object>(object: T, values: Partial<T>): void {
  for (const [key, value] of Object.entries(values)) {
    const slots = object as Record<string, unknown>;
    if (slots[key] === undefined || slots[key] === null || slots[key] === "") slots[key] = value;
  }
}

const imagePath = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const imageHost = "(?:[a-zA-Z0-9][-a-zA-Z0-9.]*|\\[[a-fA-F0-9:]+\\])(?::\\d+)?";
const imageReference = new RegExp(
  `^(?:${imageHost}/)?${imagePath}(?:/${imagePath})*(?::[\\w][\\w.-]{0,127})?$`,
);

/** `Always` for `:latest` or no tag, else `IfNotPresent`; a digest is a fixed version. */
export function pullPolicyOf(image: string): "Always" | "IfNotPresent" {
  // What is no reference has no tag either.
  if (image.includes("@") || !imageReference.test(image)) return "IfNotPresent";
  const last = image.slice(image.lastIndexOf("/") + 1);
  const colon = last.lastIndexOf(":");
  return colon < 0 || last.slice(colon + 1) === "latest" ? "Always" : "IfNotPresent";
}

function probeDefaults(probe: Probe | undefined): void {
  if (probe === undefined) return;
  fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
  for (const key of ["timeoutSeconds", "periodSeconds", "successThreshold"] as const)
    if (probe[key] === 0) probe[key] = key === "periodSeconds" ? 10 : 1;
  if (probe.failureThreshold === 0) probe.failureThreshold = 3;
  if (probe.httpGet) fill(probe.httpGet, { path: "/", scheme: "HTTP" });
  if (probe.grpc && probe.grpc.service === undefined) probe.grpc.service = "";
}

function lifecycleDefaults(lifecycle: Lifecycle | undefined): void {
  for (const hook of [lifecycle?.postStart, lifecycle?.preStop])
    if (hook?.httpGet) fill(hook.httpGet, { path: "/", scheme: "HTTP" });
}

/** A limit without a request is its request. */
function requestDefaults(resources: ResourceRequirements | undefined): void {
  if (!resources?.limits) return;
  for (const [name, limit] of Object.entries(resources.limits)) {
    resources.requests ??= {};
    if (!(name in resources.requests)) resources.requests[name] = limit;
  }
}

function containerDefaults(container: AnyContainer, hostNetwork: boolean, pod: boolean): void {
  fill(container, {
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: pullPolicyOf(container.image ?? ""),
  });
  container.resources ??= {};
  for (const port of container.ports ?? []) {
    fill(port, { protocol: "TCP" });
    if (pod && hostNetwork && !port.hostPort && port.containerPort)
      port.hostPort = port.containerPort;
  }
  for (const variable of container.env ?? []) {
    const ref = variable.valueFrom?.fieldRef;
    if (ref) fill(ref, { apiVersion: "v1" });
    const fileRef = variable.valueFrom?.fileKeyRef;
    if (fileRef && fileRef.optional === undefined) fileRef.optional = false;
  }
  probeDefaults(container.livenessProbe);
  probeDefaults(container.readinessProbe);
  probeDefaults(container.startupProbe);
  lifecycleDefaults(container.lifecycle);
  if (pod) requestDefaults(container.resources);
}

const volumeMode = 420;

function projectedDefaults(volume: Volume): void {
  if (!volume.projected) return;
  volume.projected.defaultMode ??= volumeMode;
  for (const source of volume.projected.sources ?? []) {
    if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
    for (const item of source.downwardAPI?.items ?? [])
      if (item.fieldRef) fill(item.fieldRef, { apiVersion: "v1" });
  }
}

function volumeDefaults(volume: Volume): void {
  const { name: _name, ...sources } = volume;
  if (Object.values(sources).every((source) => source === undefined || source === null))
    volume.emptyDir = {};
  if (volume.secret) volume.secret.defaultMode ??= volumeMode;
  if (volume.configMap) volume.configMap.defaultMode ??= volumeMode;
  if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= volumeMode;
    for (const item of volume.downwardAPI.items ?? [])
      if (item.fieldRef) fill(item.fieldRef, { apiVersion: "v1" });
  }
  if (volume.hostPath) volume.hostPath.type ??= "";
  if (volume.iscsi) fill(volume.iscsi, { iscsiInterface: "default" });
  if (volume.ephemeral?.volumeClaimTemplate)
    volume.ephemeral.volumeClaimTemplate.spec.volumeMode ??= "Filesystem";
  if (volume.image) fill(volume.image, { pullPolicy: pullPolicyOf(volume.image.reference ?? "") });
  projectedDefaults(volume);
}

/** Defaults of a pod spec; `pod` is false inside templates, where requests stay as sent. */
export function podSpecDefaults(spec: PodSpec, pod: boolean): void {
  fill(spec, {
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
  });
  spec.terminationGracePeriodSeconds ??= 30;
  spec.securityContext ??= {};
  if (pod) spec.enableServiceLinks ??= true;
  if (!spec.serviceAccountName && spec.serviceAccount)
    spec.serviceAccountName = spec.serviceAccount;
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName;
  const hostNetwork = spec.hostNetwork === true;
  for (const container of spec.initContainers ?? []) containerDefaults(container, hostNetwork, pod);
  for (const container of spec.containers ?? []) containerDefaults(container, hostNetwork, pod);
  for (const container of spec.ephemeralContainers ?? [])
    containerDefaults(container, false, false);
  for (const volume of spec.volumes ?? []) volumeDefaults(volume);
}
