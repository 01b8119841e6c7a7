/** The environment of a container, from every source Kubernetes knows. Pure but for `lookup`. */
import { expand } from "./expand.ts";
import { fieldValue, type PodPlace, resourceValue } from "./field-ref.ts";
import type { Container, Pod, Service } from "./types.ts";

/** A container cannot be configured as its spec asks: CreateContainerConfigError. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Decoded entries of ConfigMaps and Secrets of the pod's namespace; undefined when absent. */
export interface ObjectLookup {
  configMap(name: string): Promise<ReadonlyMap<string, string> | undefined>;
  secret(name: string): Promise<ReadonlyMap<string, string> | undefined>;
}

export interface EnvOptions {
  readonly pod: Pod;
  readonly container: Container;
  readonly place: PodPlace;
  readonly services: readonly Service[];
  readonly lookup: ObjectLookup;
}

const namePattern = /^[^=\0]+$/;

export async function containerEnv(options: EnvOptions): Promise<ReadonlyMap<string, string>> {
  const { container, pod } = options;
  const result = new Map<string, string>();
  for (const [name, value] of await fromSources(options)) result.set(name, value);
  const service = serviceEnv(pod, options.services);
  // References see the services' variables too, but those never win over the pod's own.
  const visible = new Map([...service, ...result]);
  for (const entry of container.env ?? []) {
    const value =
      entry.valueFrom === undefined
        ? expand(entry.value ?? "", visible)
        : await valueFrom(options, entry.valueFrom);
    if (value === undefined) continue;
    result.set(entry.name, value);
    visible.set(entry.name, value);
  }
  for (const [name, value] of service) if (!result.has(name)) result.set(name, value);
  return result;
}

async function fromSources(options: EnvOptions): Promise<readonly (readonly [string, string])[]> {
  const found: (readonly [string, string])[] = [];
  for (const source of options.container.envFrom ?? []) {
    const reference = source.configMapRef ?? source.secretRef;
    const name = reference?.name ?? "";
    const isSecret = source.configMapRef === undefined;
    const data = isSecret
      ? await options.lookup.secret(name)
      : await options.lookup.configMap(name);
    if (data === undefined) {
      if (reference?.optional === true) continue;
      throw new ConfigError(`${isSecret ? "secret" : "configmap"} "${name}" not found`);
    }
    for (const [key, value] of data) {
      const variable = `${source.prefix ?? ""}${key}`;
      if (namePattern.test(variable)) found.push([variable, value]);
    }
  }
  return found;
}

type ValueFrom = NonNullable<NonNullable<Container["env"]>[number]["valueFrom"]>;

async function valueFrom(options: EnvOptions, from: ValueFrom): Promise<string | undefined> {
  const { pod, container, place } = options;
  if (from.fieldRef !== undefined) {
    const value = fieldValue(pod, from.fieldRef.fieldPath, place);
    if (value === undefined) {
      throw new ConfigError(`unsupported fieldPath: ${from.fieldRef.fieldPath}`);
    }
    return value;
  }
  if (from.resourceFieldRef !== undefined) {
    const value = resourceValue(pod, container, from.resourceFieldRef, place);
    if (value === undefined) throw new ConfigError("container not found in the pod");
    return value;
  }
  const reference = from.configMapKeyRef ?? from.secretKeyRef;
  if (reference === undefined) return undefined;
  const isSecret = from.configMapKeyRef === undefined;
  const name = reference.name ?? "";
  const data = isSecret ? await options.lookup.secret(name) : await options.lookup.configMap(name);
  if (data === undefined) {
    if (reference.optional === true) return undefined;
    throw new ConfigError(`${isSecret ? "secret" : "configmap"} "${name}" not found`);
  }
  const value = data.get(reference.key);
  if (value !== undefined || reference.optional === true) return value;
  const where = `${pod.metadata.namespace}/${name}`;
  const kind = isSecret ? "Secret" : "ConfigMap";
  throw new ConfigError(`couldn't find key ${reference.key} in ${kind} ${where}`);
}

/** Variables of the services a pod may see: its namespace's and the API's. */
export function serviceEnv(pod: Pod, services: readonly Service[]): ReadonlyMap<string, string> {
  const result = new Map<string, string>();
  const links = pod.spec.enableServiceLinks !== false;
  const isApi = ({ metadata }: Service): boolean =>
    metadata.namespace === "default" && metadata.name === "kubernetes";
  const seen = services.filter((service) => {
    const ip = service.spec.clusterIP ?? "";
    if (ip === "" || ip === "None") return false;
    return isApi(service) || (links && service.metadata.namespace === pod.metadata.namespace);
  });
  // The pod's own namespace wins where it has a service called kubernetes as well.
  const ordered = seen.toSorted((a, b) => Number(isApi(b)) - Number(isApi(a)));
  for (const service of ordered) {
    for (const [name, value] of variablesOf(service)) result.set(name, value);
  }
  return result;
}

function variablesOf(service: Service): readonly (readonly [string, string])[] {
  const prefix = (service.metadata.name ?? "").toUpperCase().replaceAll("-", "_");
  const ip = service.spec.clusterIP ?? "";
  const host = ip.includes(":") ? `[${ip}]` : ip;
  const ports = service.spec.ports ?? [];
  const first = ports[0];
  if (first === undefined) return [];
  const url = (port: (typeof ports)[number]): string =>
    `${(port.protocol ?? "TCP").toLowerCase()}://${host}:${port.port}`;
  const named = ports
    .filter((port) => (port.name ?? "") !== "")
    .map((port) => {
      const suffix = (port.name ?? "").toUpperCase().replaceAll("-", "_");
      return [`${prefix}_SERVICE_PORT_${suffix}`, `${port.port}`] as const;
    });
  const links = ports.flatMap((port) => {
    const protocol = port.protocol ?? "TCP";
    const base = `${prefix}_PORT_${port.port}_${protocol}`;
    return [
      [base, url(port)],
      [`${base}_PROTO`, protocol.toLowerCase()],
      [`${base}_PORT`, `${port.port}`],
      [`${base}_ADDR`, ip],
    ] as const;
  });
  return [
    [`${prefix}_SERVICE_HOST`, ip],
    [`${prefix}_SERVICE_PORT`, `${first.port}`],
    ...named,
    [`${prefix}_PORT`, url(first)],
    ...links,
  ];
}
