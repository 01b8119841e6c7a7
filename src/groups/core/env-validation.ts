/** Rules of environment variables, and of what they and volumes read from the pod itself. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  FileKeySelector,
  ObjectFieldSelector,
  PodSpec,
  ResourceFieldSelector,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  configMapKeyErrors,
  labelErrors,
  labelKeyErrors,
  subdomainErrors,
} from "../../lib/names.ts";
import { canonicalQuantity, tryParseQuantity } from "../../lib/quantity.ts";
import { invalid, invalids, notFound, notSupported, required } from "../field-errors.ts";
import { validateNoBacksteps } from "./volume-source.ts";

const nameDetail =
  "a valid environment variable name must consist only of printable ASCII characters other " +
  "than '='";

/** What variables may read. */
export const envFieldPaths: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
/** What files of a downward API volume may hold. */
export const volumeFieldPaths: readonly string[] = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
/** Everything that the pod's fields can be called by. */
const knownFieldPaths: ReadonlySet<string> = new Set([
  ...envFieldPaths,
  ...volumeFieldPaths,
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.hostNetwork",
  "status.phase",
  "status.nominatedNodeName",
]);

export function validateFieldRef(
  ref: DeepReadonly<ObjectFieldSelector>,
  allowed: readonly string[],
  field: string,
): FieldError[] {
  if (!ref.apiVersion) return [required(`${field}.apiVersion`)];
  const path = ref.fieldPath;
  if (!path) return [required(`${field}.fieldPath`)];
  const [, parent = "", key = ""] = /^(.+)\['(.+)'\]$/.exec(path) ?? [];
  const problem = (why: string): FieldError[] => [
    invalid(`${field}.fieldPath`, path, `error converting fieldPath: ${why}`),
  ];
  if (parent !== "") {
    if (parent === "metadata.annotations")
      return invalids(field, key.toLowerCase(), labelKeyErrors(key.toLowerCase()));
    if (parent === "metadata.labels") return invalids(field, key, labelKeyErrors(key));
    return problem(`field label does not support subscript: ${path}`);
  }
  if (ref.apiVersion !== "v1") return problem(`unsupported pod version: ${ref.apiVersion}`);
  if (!knownFieldPaths.has(path)) return problem(`field label not supported: ${path}`);
  return allowed.includes(path) ? [] : [notSupported(`${field}.fieldPath`, path, allowed)];
}

const resourcePaths = ["limits", "requests"].flatMap((kind) =>
  ["cpu", "ephemeral-storage", "memory"].map((name) => `${kind}.${name}`),
);
const byteDivisors = ["1", ...["k", "M", "G", "T", "P", "E"].flatMap((one) => [`1${one}`])].concat(
  ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].map((one) => `1${one}`),
);
const divisorWords: Readonly<Record<string, string>> = {
  memory: "memory",
  "ephemeral-storage": "local ephemeral storage",
};

export function validateResourceRef(
  ref: DeepReadonly<ResourceFieldSelector>,
  field: string,
  isVolume: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const { resource = "", containerName = "" } = ref;
  const isHugePages = /^(limits|requests)\.hugepages-/.test(resource);
  if (isVolume && containerName === "") errors.push(required(`${field}.containerName`));
  else if (resource === "") errors.push(required(`${field}.resource`));
  else if (!resourcePaths.includes(resource) && !isHugePages)
    errors.push(notSupported(`${field}.resource`, resource, resourcePaths));
  return [...errors, ...validateDivisor(resource, ref.divisor ?? "0", field)];
}

function validateDivisor(resource: string, divisor: string, field: string): FieldError[] {
  const text = tryParseQuantity(divisor) === undefined ? divisor : canonicalQuantity(divisor);
  if (text === "0") return [];
  const name = resource.replace(/^(limits|requests)\./, "");
  const at = `${field}.divisor`;
  if (name === "cpu") {
    if (text === "1m" || text === "1") return [];
    const detail = "only divisor's values 1m and 1 are supported with the cpu resource";
    return [invalid(at, resource, detail)];
  }
  const words = name.startsWith("hugepages-") ? "hugepages" : divisorWords[name];
  if (words === undefined || byteDivisors.includes(text)) return [];
  const list = byteDivisors.join(", ");
  return [
    invalid(at, resource, `only divisor's values ${list} are supported with the ${words} resource`),
  ];
}

/** A key of a ConfigMap or Secret. */
function validateKeyRef(
  ref: { readonly name?: string; readonly key?: string },
  field: string,
): FieldError[] {
  const { name = "", key = "" } = ref;
  return [
    ...invalids(`${field}.name`, name, subdomainErrors(name)),
    ...(key === ""
      ? [required(`${field}.key`)]
      : invalids(`${field}.key`, key, configMapKeyErrors(key))),
  ];
}

/** A variable of a file that a container wrote before. */
function validateFileRef(ref: DeepReadonly<FileKeySelector>, field: string): FieldError[] {
  const { key = "", volumeName = "", path = "" } = ref;
  const names = { key: nameErrors(key), volumeName: labelErrors(volumeName) };
  return [
    ...(key === "" ? [required(`${field}.key`)] : invalids(`${field}.key`, key, names.key)),
    ...(volumeName === ""
      ? [required(`${field}.volumeName`)]
      : invalids(`${field}.volumeName`, volumeName, names.volumeName)),
    ...(path === "" ? [required(`${field}.path`)] : validateNoBacksteps(path, `${field}.path`)),
  ];
}

/** Files of variables stand on volumes that last as long as the pod. */
export function validateFileVolumes(spec: DeepReadonly<PodSpec>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["initContainers", "containers", "ephemeralContainers"] as const)
    (spec[key] ?? []).forEach(({ env = [] }, index) => {
      env.forEach(({ valueFrom }, place) => {
        const name = valueFrom?.fileKeyRef?.volumeName;
        if (name === undefined) return;
        const at = `${field}.${key}[${index}].env[${place}].valueFrom.fileKeyRef.volumeName`;
        const volume = spec.volumes?.find((one) => one.name === name);
        if (volume === undefined) errors.push(notFound(at, name));
        else if (volume.emptyDir === undefined)
          errors.push(invalid(at, name, "referenced volume must be of type emptyDir"));
      });
    });
  return errors;
}

function validateSource(
  source: DeepReadonly<EnvVarSource>,
  value: string,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = source;
  if (fieldRef) errors.push(...validateFieldRef(fieldRef, envFieldPaths, `${field}.fieldRef`));
  if (resourceFieldRef)
    errors.push(...validateResourceRef(resourceFieldRef, `${field}.resourceFieldRef`, false));
  if (configMapKeyRef) errors.push(...validateKeyRef(configMapKeyRef, `${field}.configMapKeyRef`));
  if (secretKeyRef) errors.push(...validateKeyRef(secretKeyRef, `${field}.secretKeyRef`));
  if (fileKeyRef) errors.push(...validateFileRef(fileKeyRef, `${field}.fileKeyRef`));
  const sources = [fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef];
  const count = sources.filter((one) => one !== undefined && one !== null).length;
  if (count === 0) {
    const all = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(invalid(field, "", `must specify one of: ${all}`));
  } else if (value !== "")
    errors.push(invalid(field, "", "may not be specified when `value` is not empty"));
  else if (count > 1)
    errors.push(invalid(field, "", "may not have more than one field specified at a time"));
  return errors;
}

function nameErrors(name: string): string[] {
  return /[^\x20-\x7e]|=/.test(name) ? [nameDetail] : [];
}

export function validateEnv(env: readonly DeepReadonly<EnvVar>[], field: string): FieldError[] {
  return env.flatMap(({ name, value = "", valueFrom }, index) => {
    const at = `${field}[${index}]`;
    return [
      ...(name ? invalids(`${at}.name`, name, nameErrors(name)) : [required(`${at}.name`)]),
      ...(valueFrom ? validateSource(valueFrom, value, `${at}.valueFrom`) : []),
    ];
  });
}

export function validateEnvFrom(
  sources: readonly DeepReadonly<EnvFromSource>[],
  field: string,
): FieldError[] {
  return sources.flatMap(({ prefix, configMapRef, secretRef }, index) => {
    const at = `${field}[${index}]`;
    const errors = prefix ? invalids(`${at}.prefix`, prefix, nameErrors(prefix)) : [];
    for (const [key, ref] of Object.entries({ configMapRef, secretRef })) {
      if (!ref) continue;
      const name = ref.name ?? "";
      if (name === "") errors.push(required(`${at}.${key}.name`));
      else errors.push(...invalids(`${at}.${key}.name`, name, subdomainErrors(name)));
    }
    if (!configMapRef && !secretRef)
      errors.push(invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"));
    else if (configMapRef && secretRef)
      errors.push(invalid(field, "", "may not have more than one field specified at a time"));
    return errors;
  });
}
