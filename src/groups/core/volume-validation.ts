/** Rules of a pod's volumes. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { KeyToPath, PodSpec, Volume } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors } from "../../lib/names.ts";
import { duplicate, forbidden, invalid, invalids, oneOf, required } from "../field-errors.ts";
import { quantityErrors } from "../quantities.ts";

type ReadVolume = DeepReadonly<Volume>;

function validateMode(mode: number | undefined, field: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777)
    ? [invalid(field, mode, "must be a number between 0 and 0777 (octal), both inclusive")]
    : [];
}

function validateRelativePath(path: string, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (path.startsWith("/")) errors.push(invalid(field, path, "must be a relative path"));
  if (path.split("/").includes("..")) errors.push(invalid(field, path, "must not contain '..'"));
  else if (path.startsWith("..")) errors.push(invalid(field, path, "must not start with '..'"));
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

const hostPathTypes = [
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];

function validateProjected(volume: ReadVolume, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!volume.projected) return errors;
  errors.push(...validateMode(volume.projected.defaultMode, `${field}.projected.defaultMode`));
  (volume.projected.sources ?? []).forEach((source, index) => {
    const at = `${field}.projected.sources[${index}]`;
    const set = Object.values(source).filter((one) => one !== undefined && one !== null);
    if (set.length > 1) errors.push(forbidden(at, "may not specify more than 1 volume type"));
    if (source.secret) {
      if (!source.secret.name) errors.push(required(`${at}.secret.name`));
      errors.push(...validateItems(source.secret.items, `${at}.secret`));
    }
    if (source.configMap) {
      if (!source.configMap.name) errors.push(required(`${at}.configMap.name`));
      errors.push(...validateItems(source.configMap.items, `${at}.configMap`));
    }
    const token = source.serviceAccountToken;
    if (token) {
      if (!token.path) errors.push(required(`${at}.path`));
      if ((token.expirationSeconds ?? 3600) < 600)
        errors.push(
          invalid(
            `${at}.expirationSeconds`,
            token.expirationSeconds,
            "may not specify a duration less than 10 minutes",
          ),
        );
    }
  });
  return errors;
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
  if (volume.hostPath) {
    if (!volume.hostPath.path) errors.push(required(`${field}.hostPath.path`));
    else if (volume.hostPath.path.split("/").includes(".."))
      errors.push(invalid(`${field}.hostPath.path`, volume.hostPath.path, "must not contain '..'"));
    if (volume.hostPath.type)
      errors.push(...oneOf(`${field}.hostPath.type`, volume.hostPath.type, hostPathTypes));
  }
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName)
    errors.push(required(`${field}.persistentVolumeClaim.claimName`));
  if (volume.emptyDir?.sizeLimit)
    errors.push(...quantityErrors(`${field}.emptyDir.sizeLimit`, volume.emptyDir.sizeLimit));
  if (volume.nfs) {
    if (!volume.nfs.server) errors.push(required(`${field}.nfs.server`));
    if (!volume.nfs.path) errors.push(required(`${field}.nfs.path`));
    else if (!volume.nfs.path.startsWith("/"))
      errors.push(invalid(`${field}.nfs.path`, volume.nfs.path, "must be an absolute path"));
  }
  if (volume.csi && !volume.csi.driver) errors.push(required(`${field}.csi.driver`));
  if (volume.ephemeral && !volume.ephemeral.volumeClaimTemplate)
    errors.push(required(`${field}.ephemeral.volumeClaimTemplate`));
  errors.push(...validateProjected(volume, field));
  return errors;
}

/** The errors of the volumes of a spec. */
export function validateVolumes(spec: DeepReadonly<PodSpec>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (spec.volumes ?? []).forEach((volume, index) => {
    const at = `${field}.volumes[${index}]`;
    if (!volume.name) errors.push(required(`${at}.name`));
    else errors.push(...invalids(`${at}.name`, volume.name, labelErrors(volume.name)));
    if (volume.name && names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
    names.add(volume.name);
    const { name: _name, ...sources } = volume;
    const set = Object.entries(sources).filter(([, one]) => one !== undefined && one !== null);
    if (set.length === 0) errors.push(required(at, "must specify a volume type"));
    for (const [key] of set.slice(1))
      errors.push(forbidden(`${at}.${key}`, "may not specify more than 1 volume type"));
    errors.push(...validateSource(volume, at));
  });
  return errors;
}
