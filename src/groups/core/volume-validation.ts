/** Rules of a pod's volumes. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  CSIVolumeSource,
  DownwardAPIVolumeFile,
  ImageVolumeSource,
  KeyToPath,
  PodSpec,
  Volume,
  VolumeProjection,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, subdomainErrors } from "../../lib/names.ts";
import { duplicate, forbidden, invalid, invalids, oneOf, required } from "../field-errors.ts";
import { compareQuantities } from "../quantities.ts";
import { validateFieldRef, validateResourceRef, volumeFieldPaths } from "./env-validation.ts";
import {
  onlyOneSource,
  sourceField,
  sourcesOf,
  validateDriverName,
  validateNoBacksteps,
  validateSharedSource,
} from "./volume-source.ts";

type ReadVolume = DeepReadonly<Volume>;

function validateMode(mode: number | undefined, field: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777)
    ? [invalid(field, mode, "must be a number between 0 and 0777 (octal), both inclusive")]
    : [];
}

function validateRelativePath(path: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path.startsWith("/")) errors.push(invalid(field, path, "must be a relative path"));
  errors.push(...validateNoBacksteps(path, field));
  if (/^\.\.(?!\/)/.test(path)) errors.push(invalid(field, path, "must not start with '..'"));
  return errors;
}

function validateItems(
  items: readonly DeepReadonly<KeyToPath>[] | undefined,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  (items ?? []).forEach((item, index) => {
    const at = `${field}.items[${index}]`;
    if (!item.key) errors.push(required(`${at}.key`));
    if (!item.path) errors.push(required(`${at}.path`));
    else errors.push(...validateRelativePath(item.path, `${at}.path`));
    errors.push(...validateMode(item.mode, `${at}.mode`));
  });
  return errors;
}

function validateFiles(
  files: readonly DeepReadonly<DownwardAPIVolumeFile>[],
  field: string,
): FieldError[] {
  // Upstream names the volume, not the file.
  return files.flatMap(({ path, fieldRef, resourceFieldRef, mode }) => [
    ...(path ? validateRelativePath(path, `${field}.path`) : [required(`${field}.path`)]),
    ...(fieldRef ? validateFieldRef(fieldRef, volumeFieldPaths, `${field}.fieldRef`) : []),
    ...(fieldRef && resourceFieldRef
      ? [
          invalid(
            field,
            "resource",
            "fieldRef and resourceFieldRef can not be specified simultaneously",
          ),
        ]
      : []),
    ...(!fieldRef && resourceFieldRef
      ? validateResourceRef(resourceFieldRef, `${field}.resourceFieldRef`, true)
      : []),
    ...(fieldRef || resourceFieldRef
      ? []
      : [required(field, "one of fieldRef and resourceFieldRef is required")]),
    ...validateMode(mode, `${field}.mode`),
  ]);
}

type Source = DeepReadonly<VolumeProjection>;

function validateTokenSource(token: NonNullable<Source["serviceAccountToken"]>, at: string) {
  const { path, expirationSeconds: seconds = 3600 } = token;
  const errors: FieldError[] = [];
  const field = `${at}.serviceAccountToken.expirationSeconds`;
  if (seconds < 600)
    errors.push(invalid(field, seconds, "may not specify a duration less than 10 minutes"));
  if (seconds > 2 ** 32)
    errors.push(invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"));
  const place = `${at.replace(/\.sources\[\d+\]$/, "")}.path`;
  errors.push(...(path ? validateRelativePath(path, place) : [required(place)]));
  return errors;
}

/** Where the files of one source will lie. */
function pathsOf(source: Source): readonly (string | undefined)[] {
  const { secret, configMap, downwardAPI } = source;
  return [
    ...(secret?.items ?? []).map(({ path }) => path),
    ...(configMap?.items ?? []).map(({ path }) => path),
    ...(downwardAPI?.items ?? []).map(({ path }) => path),
  ];
}

function validateProjectedSource(source: Source, at: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["secret", "configMap"] as const) {
    const one = source[key];
    if (!one) continue;
    if (!one.name) errors.push(required(`${at}.${key}.name`));
    errors.push(...validateItems(one.items, `${at}.${key}`));
  }
  if (source.downwardAPI)
    errors.push(...validateFiles(source.downwardAPI.items ?? [], `${at}.downwardAPI`));
  if (source.serviceAccountToken)
    errors.push(...validateTokenSource(source.serviceAccountToken, at));
  const set = Object.values(source).filter((one) => one !== undefined && one !== null);
  if (set.length > 1)
    errors.push(forbidden(at, "may not specify more than 1 volume type per source"));
  return errors;
}

function validateProjected(volume: ReadVolume, field: string): FieldError[] {
  const { projected } = volume;
  if (!projected) return [];
  const at = `${field}.projected`;
  const errors = validateMode(projected.defaultMode, `${at}.defaultMode`);
  const taken = new Set<string>();
  (projected.sources ?? []).forEach((source, index) => {
    errors.push(...validateProjectedSource(source, `${at}.sources[${index}]`));
    for (const path of pathsOf(source)) {
      if (!path) continue;
      if (taken.has(path)) errors.push(invalid(at, path, "conflicting duplicate paths"));
      taken.add(path);
    }
  });
  return errors;
}

function validateCsi(csi: DeepReadonly<CSIVolumeSource>, at: string): FieldError[] {
  const errors = validateDriverName(csi.driver, `${at}.driver`);
  if (csi.nodePublishSecretRef === undefined) return errors;
  const { name = "" } = csi.nodePublishSecretRef;
  if (name === "") return [...errors, required(`${at}.nodePublishSecretRef.name`)];
  // Upstream's slip.
  return [...errors, ...invalids(`${at}.name`, name, subdomainErrors(name))];
}

/** What a template leaves open the pods are asked for. */
function validateImage(image: DeepReadonly<ImageVolumeSource>, at: string): FieldError[] {
  const isOfPod = at.startsWith("spec.volumes");
  return [
    ...(isOfPod && !image.reference ? [required(`${at}.reference`)] : []),
    ...oneOf(`${at}.pullPolicy`, image.pullPolicy, ["Always", "IfNotPresent", "Never"]),
  ];
}

function validateSource(volume: ReadVolume, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (volume.secret) {
    if (!volume.secret.secretName) errors.push(required(`${field}.secret.secretName`));
    errors.push(...validateMode(volume.secret.defaultMode, `${field}.secret.defaultMode`));
    errors.push(...validateItems(volume.secret.items, `${field}.secret`));
  }
  if (volume.configMap) {
    if (!volume.configMap.name) errors.push(required(`${field}.configMap.name`));
    errors.push(...validateMode(volume.configMap.defaultMode, `${field}.configMap.defaultMode`));
    errors.push(...validateItems(volume.configMap.items, `${field}.configMap`));
  }
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName)
    errors.push(required(`${field}.persistentVolumeClaim.claimName`));
  if (volume.downwardAPI) {
    const at = `${field}.downwardAPI`;
    errors.push(...validateMode(volume.downwardAPI.defaultMode, `${at}.defaultMode`));
    errors.push(...validateFiles(volume.downwardAPI.items ?? [], at));
  }
  if (volume.image) errors.push(...validateImage(volume.image, `${field}.image`));
  if (compareQuantities(volume.emptyDir?.sizeLimit ?? "0", "0") < 0) {
    const detail = "SizeLimit field must be a valid resource quantity";
    errors.push(forbidden(`${field}.emptyDir.sizeLimit`, detail));
  }
  if (volume.csi) errors.push(...validateCsi(volume.csi, `${field}.csi`));
  if (volume.ephemeral && !volume.ephemeral.volumeClaimTemplate)
    errors.push(required(`${field}.ephemeral.volumeClaimTemplate`));
  errors.push(...validateProjected(volume, field));
  return errors;
}

/** The names of the volumes that containers can mount: those that nothing is wrong with. */
export function usableVolumes(spec: DeepReadonly<PodSpec>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const volume of spec.volumes ?? [])
    if (volumeErrors(volume, "", names).length === 0) names.add(volume.name);
  return names;
}

/** The errors of the volumes of a spec. */
export function validateVolumes(spec: DeepReadonly<PodSpec>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (spec.volumes ?? []).forEach((volume, index) => {
    const wrong = volumeErrors(volume, `${field}.volumes[${index}]`, names);
    if (wrong.length === 0) names.add(volume.name);
    errors.push(...wrong);
  });
  return errors;
}

/** The errors of one volume beside others that have taken `names`. */
function volumeErrors(volume: ReadVolume, at: string, names: ReadonlySet<string>): FieldError[] {
  const { name } = volume;
  const [first, ...others] = sourcesOf(volume, "pod");
  const errors =
    first === undefined
      ? [required(at, "must specify a volume type")]
      : [
          ...validateSource({ name, [first]: volume[first as keyof ReadVolume] }, at),
          ...validateSharedSource(first, volume, at),
        ];
  for (const key of others) errors.push(forbidden(`${at}.${sourceField(key)}`, onlyOneSource));
  if (!name) errors.push(required(`${at}.name`));
  else errors.push(...invalids(`${at}.name`, name, labelErrors(name)));
  if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
  return errors;
}
