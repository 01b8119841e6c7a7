/** What is allowed in pods and templates, but hardly meant (sent as Warning headers). */
import type { WriteContext } from "../api/resource-definition.ts";
import type {
  Affinity,
  Container,
  ContainerPort,
  NodeSelectorTerm,
  PodSpec,
  PodTemplateSpec,
} from "../gen/core-v1.ts";
import type { ObjectMeta } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors } from "../lib/names.ts";
import { parseQuantity, tryParseQuantity } from "../lib/quantity.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import type { KubeObject } from "../schema/object.ts";
import { volumeWarnings } from "./volume-warnings.ts";

type ReadSpec = DeepReadonly<PodSpec>;

const oldLabels: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "failure-domain.beta.kubernetes.io/region":
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "failure-domain.beta.kubernetes.io/zone":
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  "beta.kubernetes.io/instance-type":
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

const oldAnnotations: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod":
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls":
    'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls":
    'non-functional in v1.11+; use the "sysctls" field instead',
};

const oldVolumes: Readonly<Record<string, string>> = {
  photonPersistentDisk: "deprecated in v1.11, non-functional in v1.16+",
  gitRepo: "deprecated in v1.11, and disabled by default in v1.33+",
  scaleIO: "deprecated in v1.16, non-functional in v1.22+",
  flocker: "deprecated in v1.22, non-functional in v1.25+",
  storageos: "deprecated in v1.22, non-functional in v1.25+",
  quobyte: "deprecated in v1.22, non-functional in v1.25+",
  glusterfs: "deprecated in v1.25, non-functional in v1.26+",
  cephfs: "deprecated in v1.28, non-functional in v1.31+",
  rbd: "deprecated in v1.28, non-functional in v1.31+",
};

/** A name that pods take over must do as a host name. */
export function nameWarnings(name: string | undefined, isPod: boolean): string[] {
  const problems = labelErrors(name ?? "");
  if (problems.length === 0) return [];
  const used = isPod ? "the Pod's hostname" : "Pod names and hostnames";
  return [
    `metadata.name: this is used in ${used}, which can result in surprising behavior; a DNS ` +
      `label is recommended: [${problems.join(" ")}]`,
  ];
}

/** The warnings of `spec.template` of a workload. */
export function templateWarnings(
  template: DeepReadonly<PodTemplateSpec> | undefined,
  field: string,
): string[] {
  if (template?.spec === undefined) return [];
  return podWarnings(template.metadata ?? {}, template.spec, `${field}.`);
}

/** The warnings of a workload: of its name when it is made, of its template when that changes. */
export function workloadWarnings<T extends KubeObject>(
  object: DeepReadonly<T>,
  { old, subresource }: WriteContext<T>,
  templateOf: (object: DeepReadonly<T>) => DeepReadonly<PodTemplateSpec> | undefined,
  field = "spec.template",
): readonly string[] {
  if (subresource !== "") return [];
  if (old === undefined) {
    const named = nameWarnings(object.metadata.name, false);
    return [...named, ...templateWarnings(templateOf(object), field)];
  }
  const [now, before] = [object, old].map((one) => templateOf(one as DeepReadonly<T>));
  return semanticEqual(now, before) ? [] : templateWarnings(now, field);
}

/** The warnings of a pod; `base` is what stands before `spec` and `metadata`. */
export function podWarnings(
  metadata: DeepReadonly<ObjectMeta>,
  spec: ReadSpec,
  base = "",
): string[] {
  const at = `${base}spec`;
  return [
    ...placementWarnings(spec, at),
    ...Object.keys(metadata.annotations ?? {}).flatMap((key) => {
      const text = oldAnnotations[key];
      return text === undefined ? [] : [`${base}metadata.annotations[${key}]: ${text}`];
    }),
    ...(spec.volumes ?? []).flatMap((volume, index) =>
      Object.keys(volume).flatMap((type) => {
        const text = oldVolumes[type];
        return text === undefined ? [] : [`${at}.volumes[${index}].${type}: ${text}`];
      }),
    ),
    ...(spec.volumes ?? []).flatMap(volumeWarnings),
    ...duplicates(spec.hostAliases ?? [], `${at}.hostAliases`, "ip"),
    ...duplicates(spec.imagePullSecrets ?? [], `${at}.imagePullSecrets`, "name"),
    ...(spec.imagePullSecrets ?? []).flatMap(({ name }, index) =>
      name ? [] : [`${at}.imagePullSecrets[${index}].name: invalid empty name ""`],
    ),
    ...fractions(spec.overhead, `${at}.overhead`),
    ...containersOf(spec, at).flatMap(([container, field]) => containerWarnings(container, field)),
    ...portWarnings(spec, at),
    ...((spec.terminationGracePeriodSeconds ?? 0) < 0
      ? [
          `${at}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and ` +
            "will be treated as 1",
        ]
      : []),
    ...selectorWarnings(spec.affinity, `${at}.affinity`),
  ];
}

function placementWarnings(spec: ReadSpec, at: string): string[] {
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {})) {
    if (oldLabels[key] !== undefined)
      warnings.push(`${at}.nodeSelector[${key}]: ${oldLabels[key]}`);
  }
  const { nodeAffinity } = spec.affinity ?? {};
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const check = (term: DeepReadonly<NodeSelectorTerm>, field: string): void => {
    (term.matchExpressions ?? []).forEach(({ key }, index) => {
      const text = oldLabels[key];
      if (text !== undefined)
        warnings.push(`${field}.matchExpressions[${index}].key: ${key} is ${text}`);
    });
  };
  (nodeAffinity?.[required]?.nodeSelectorTerms ?? []).forEach((term, index) => {
    check(term, `${at}.affinity.nodeAffinity.${required}.nodeSelectorTerms[${index}]`);
  });
  (nodeAffinity?.[preferred] ?? []).forEach(({ preference }, index) => {
    check(preference, `${at}.affinity.nodeAffinity.${preferred}[${index}].preference`);
  });
  (spec.topologySpreadConstraints ?? []).forEach(({ topologyKey, labelSelector }, index) => {
    const field = `${at}.topologySpreadConstraints[${index}]`;
    const text = oldLabels[topologyKey];
    if (text !== undefined) warnings.push(`${field}.topologyKey: ${topologyKey} is ${text}`);
    if (labelSelector === undefined) warnings.push(`${field}.labelSelector: ${nullSelector}`);
  });
  return warnings;
}

const nullSelector = "a null labelSelector results in matching no pod";

function selectorWarnings(affinity: DeepReadonly<Affinity> | undefined, at: string): string[] {
  const warnings: string[] = [];
  for (const kind of ["podAffinity", "podAntiAffinity"] as const) {
    const one = affinity?.[kind];
    (one?.requiredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, index) => {
      const field = `${at}.${kind}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`;
      if (!term.labelSelector) warnings.push(`${field}.labelSelector: ${nullSelector}`);
    });
    (one?.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, index) => {
      const field = `${at}.${kind}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      if (!term.podAffinityTerm.labelSelector)
        warnings.push(`${field}.podAffinityTerm.labelSelector: ${nullSelector}`);
    });
  }
  return warnings;
}

function duplicates<K extends string>(
  items: readonly { readonly [key in K]?: string }[],
  field: string,
  key: K,
): string[] {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const value = item[key] ?? "";
    if (!seen.has(value)) {
      seen.add(value);
      return [];
    }
    return [`${field}[${index}].${key}: duplicate ${key} ${JSON.stringify(value)}`];
  });
}

/** Bytes are whole. */
function fractions(amounts: Readonly<Record<string, string>> | undefined, field: string): string[] {
  return ["memory", "ephemeral-storage"].flatMap((name) => {
    const amount = amounts?.[name];
    if (amount === undefined || tryParseQuantity(amount) === undefined) return [];
    if (parseQuantity(amount).nano % 1_000_000_000n === 0n) return [];
    const text = `fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`;
    return [`${field}[${name}]: ${text}`];
  });
}

type Located = readonly [container: DeepReadonly<Container>, field: string];

function containersOf(spec: ReadSpec, at: string): readonly Located[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((kind) =>
    ((spec[kind] ?? []) as readonly DeepReadonly<Container>[]).map(
      (container, index): Located => [container, `${at}.${kind}[${index}]`],
    ),
  );
}

function containerWarnings(container: DeepReadonly<Container>, field: string): string[] {
  const { resources, env = [] } = container;
  const seen = new Set<string>();
  return [
    ...fractions(resources?.limits, `${field}.resources.limits`),
    ...fractions(resources?.requests, `${field}.resources.requests`),
    ...env.flatMap(({ name, value = "", valueFrom }, index) => {
      if (!seen.has(name)) {
        seen.add(name);
        return [];
      }
      // A value that goes on from the earlier one is meant.
      const reference = `$(${name})`;
      const extendsIt = value.includes(reference) && value !== reference;
      if (valueFrom === undefined && extendsIt) return [];
      return [
        `${field}.env[${index}]: hides previous definition of ${JSON.stringify(name)}, which may ` +
          "be dropped when using apply",
      ];
    }),
  ];
}

interface PlacedPort {
  readonly port: DeepReadonly<ContainerPort>;
  readonly field: string;
}

function portWarnings(spec: ReadSpec, at: string): string[] {
  const ports = containersOf(spec, at).flatMap(([container, field]) =>
    (container.ports ?? []).map(
      (port, index): PlacedPort => ({
        port,
        field: `${field}.ports[${index}]`,
      }),
    ),
  );
  const warnings = ports.flatMap((one, index) => [
    ...lostAddress(one),
    ...ports.slice(0, index).flatMap((other) => overlap(one, other) ?? []),
  ]);
  const names = new Map<string, string>();
  for (const { port, field } of ports) {
    if (!port.name) continue;
    const first = names.get(port.name);
    if (first === undefined) names.set(port.name, field);
    else
      warnings.push(
        `${field}: duplicate port name ${JSON.stringify(port.name)} with ${first}, services and ` +
          `probes that select ports by name will use ${first}`,
      );
  }
  return warnings;
}

/** An address of the host says nothing without a port there; Go's words for the port. */
function lostAddress({ port, field }: PlacedPort): readonly string[] {
  const { name = "", hostIP = "", hostPort = 0, containerPort, protocol = "" } = port;
  if (hostIP === "" || hostPort !== 0) return [];
  const shown = `Name:${name} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol}`;
  return [`${field}: hostIP set without hostPort: {${shown} HostIP:${hostIP}}`];
}

function overlap(one: PlacedPort, other: PlacedPort): string | undefined {
  const [a, b] = [one.port, other.port];
  if (a.containerPort !== b.containerPort || a.protocol !== b.protocol) return undefined;
  const [ip, otherIp] = [a.hostIP ?? "", b.hostIP ?? ""];
  const [port, otherPort] = [a.hostPort ?? 0, b.hostPort ?? 0];
  const what = (word: string): string =>
    `${one.field}: ${word} port definition with ${other.field}`;
  if (ip === otherIp && port === otherPort) return what("duplicate");
  if (port === 0 || otherPort === 0) return what("overlapping");
  const isOneOpen = (ip === "") !== (otherIp === "");
  return port === otherPort && isOneOpen ? what("dangerously ambiguous") : undefined;
}
