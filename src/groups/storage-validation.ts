/** Rules of storage.k8s.io/v1. */
import type { FieldError } from "../api/resource-definition.ts";
import type { TopologySelectorTerm } from "../gen/core-v1.ts";
import type {
  CSIDriver,
  CSINode,
  CSINodeDriver,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
} from "../gen/storage-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelKeyErrors, subdomainErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { validateInlineVolume } from "./core/persistent-volume-validation.ts";
import { validateDriverName } from "./core/volume-source.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  nonNegative,
  nonNegativeDetail,
  notSupported,
  oneOf,
  required,
  tooLong,
} from "./field-errors.ts";
import { validateImmutable } from "./pod-template.ts";
import { compareQuantities, quantityErrors } from "./quantities.ts";
import { validateSelector } from "./selector-validation.ts";

const limits = {
  parametersMax: 512,
  parameterBytesMax: 256 * 1024,
  metadataBytesMax: 256 * 1024,
  messageBytesMax: 1024,
  nodeIdMax: 256,
} as const;

const encoder = new TextEncoder();

function bytesOf(texts: Readonly<Record<string, string>>): number {
  return encoder.encode(Object.entries(texts).flat().join("")).length;
}

function validateProvisioner(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const lower = name.toLowerCase();
  return invalids(field, lower, labelKeyErrors(lower));
}

function validateParameters(parameters: Readonly<Record<string, string>>): FieldError[] {
  const field = "parameters";
  const keys = Object.keys(parameters);
  if (keys.length > limits.parametersMax) return [tooLong(field, limits.parametersMax)];
  const errors = keys
    .filter((key) => key === "")
    .map((key) => invalid(field, key, "field can not be empty."));
  if (bytesOf(parameters) > limits.parameterBytesMax)
    errors.push(tooLong(field, limits.parameterBytesMax));
  return errors;
}

function validateTopologies(terms: DeepReadonly<TopologySelectorTerm[]>): FieldError[] {
  const errors: FieldError[] = [];
  const seen: Record<string, readonly string[]>[] = [];
  terms.forEach(({ matchLabelExpressions = [] }, index) => {
    const at = `allowedTopologies[${index}].matchLabelExpressions`;
    const term: Record<string, readonly string[]> = {};
    matchLabelExpressions.forEach(({ key, values = [] }, place) => {
      const below = `${at}[${place}]`;
      if (values.length === 0) errors.push(required(`${below}.values`));
      values.forEach((value, which) => {
        if (values.indexOf(value) < which)
          errors.push(duplicate(`${below}.values[${which}]`, value));
      });
      errors.push(...invalids(`${below}.key`, key, labelKeyErrors(key)));
      if (key in term) errors.push(duplicate(`${below}.key`, key));
      term[key] = values.toSorted();
    });
    if (seen.some((one) => semanticEqual(one, term))) errors.push(duplicate(at, ""));
    seen.push(term);
  });
  return errors;
}

export function validateStorageClass(
  object: DeepReadonly<StorageClass>,
  old: DeepReadonly<StorageClass> | undefined,
): FieldError[] {
  const { reclaimPolicy, volumeBindingMode } = object;
  const errors = [
    ...validateProvisioner(object.provisioner, "provisioner"),
    ...validateParameters(object.parameters ?? {}),
  ];
  if (reclaimPolicy && !["Delete", "Retain"].includes(reclaimPolicy))
    errors.push(notSupported("reclaimPolicy", reclaimPolicy, ["Delete", "Retain"]));
  const modes = ["Immediate", "WaitForFirstConsumer"];
  errors.push(...oneOf("volumeBindingMode", volumeBindingMode, modes));
  errors.push(...validateTopologies(object.allowedTopologies ?? []));
  if (old === undefined) return errors;
  for (const key of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] as const)
    errors.push(...validateImmutable(object[key], old[key], key));
  return errors;
}

export function validateAttributesClass(
  object: DeepReadonly<VolumeAttributesClass>,
  old: DeepReadonly<VolumeAttributesClass> | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const key of ["driverName", "parameters"] as const)
    if (old !== undefined && !semanticEqual(object[key], old[key]))
      errors.push(forbidden(key, `updates to ${key} are forbidden.`));
  errors.push(...validateProvisioner(object.driverName, "driverName"));
  errors.push(...validateParameters(object.parameters ?? {}));
  if (Object.keys(object.parameters ?? {}).length === 0)
    errors.push(required("parameters", "must contain at least one key/value pair"));
  return errors;
}

function validateTokenRequests(object: DeepReadonly<CSIDriver>): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  (object.spec.tokenRequests ?? []).forEach(({ audience, expirationSeconds: seconds }, index) => {
    const at = `spec.tokenRequests[${index}]`;
    if (seen.has(audience)) {
      errors.push(duplicate(`${at}.audience`, audience));
      return;
    }
    seen.add(audience);
    if (seconds === undefined) return;
    const field = `${at}.expirationSeconds`;
    if (seconds < 600)
      errors.push(invalid(field, seconds, "may not specify a duration less than 10 minutes"));
    if (seconds > 2 ** 32)
      errors.push(invalid(field, seconds, "may not specify a duration larger than 2^32 seconds"));
  });
  return errors;
}

export function validateCsiDriver(
  object: DeepReadonly<CSIDriver>,
  old: DeepReadonly<CSIDriver> | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = object;
  const policies = ["File", "None", "ReadWriteOnceWithFSType"];
  if (!policies.includes(spec.fsGroupPolicy ?? ""))
    errors.push(notSupported("spec.fsGroupPolicy", spec.fsGroupPolicy, policies));
  errors.push(...validateTokenRequests(object));
  const modes = ["Ephemeral", "Persistent"];
  for (const mode of spec.volumeLifecycleModes ?? [])
    if (!modes.includes(mode)) errors.push(notSupported("spec.volumeLifecycleModes", mode, modes));
  const period = spec.nodeAllocatableUpdatePeriodSeconds;
  if (period !== undefined && period < 10)
    errors.push(
      invalid(
        "spec.nodeAllocatableUpdatePeriodSeconds",
        period,
        "must be greater than or equal to 10 seconds",
      ),
    );
  const inSecrets = spec.serviceAccountTokenInSecrets;
  if (inSecrets !== undefined && (spec.tokenRequests ?? []).length === 0)
    errors.push(
      invalid(
        "spec.serviceAccountTokenInSecrets",
        inSecrets,
        "serviceAccountTokenInSecrets is set but no tokenRequests are specified",
      ),
    );
  if (old === undefined) return errors;
  // "attachedRequired" is upstream's slip.
  const attach = [spec.attachRequired, old.spec.attachRequired, "spec.attachedRequired"] as const;
  const [now, before] = [spec.volumeLifecycleModes, old.spec.volumeLifecycleModes];
  return [
    ...errors,
    ...validateImmutable(...attach),
    ...validateImmutable(now, before, "spec.volumeLifecycleModes"),
  ];
}

const tokensInSecrets =
  "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to " +
  "prevent possible logging of tokens in volume attributes";

/** What the writer of a driver is warned of. */
export function csiDriverWarnings(
  { spec }: DeepReadonly<CSIDriver>,
  old: DeepReadonly<CSIDriver> | undefined,
): string[] {
  const { tokenRequests = [], serviceAccountTokenInSecrets: isSet } = spec;
  if (tokenRequests.length === 0 || isSet !== undefined) return [];
  return semanticEqual(tokenRequests, old?.spec.tokenRequests ?? []) ? [] : [tokensInSecrets];
}

function validateNodeDriver(driver: DeepReadonly<CSINodeDriver>, field: string): FieldError[] {
  const errors = validateDriverName(driver.name, `${field}.name`);
  const { nodeID, allocatable } = driver;
  const topologyKeys = driver.topologyKeys ?? [];
  if (!nodeID) errors.push(required(`${field}.nodeID`));
  else if (nodeID.length > limits.nodeIdMax)
    errors.push(
      invalid(`${field}.nodeID`, nodeID, `must be ${limits.nodeIdMax} characters or less`),
    );
  errors.push(...nonNegative(`${field}.allocatable.count`, allocatable?.count));
  topologyKeys.forEach((key, index) => {
    if (key === "") errors.push(required(field));
    if (topologyKeys.indexOf(key) < index) errors.push(duplicate(field, key));
    errors.push(...invalids(field, key, labelKeyErrors(key)));
  });
  return errors;
}

export function validateCsiNode(
  object: DeepReadonly<CSINode>,
  old: DeepReadonly<CSINode> | undefined,
): FieldError[] {
  const errors: FieldError[] = [];
  const drivers = object.spec?.drivers ?? [];
  drivers.forEach((driver, index) => {
    const at = `spec.drivers[${index}]`;
    errors.push(...validateNodeDriver(driver, at));
    if (drivers.findIndex(({ name }) => name === driver.name) < index)
      errors.push(duplicate(`${at}.name`, driver.name));
  });
  const frozen = ({ allocatable: _allocatable, ...rest }: DeepReadonly<CSINodeDriver>) => rest;
  for (const before of old?.spec?.drivers ?? [])
    for (const now of drivers)
      if (now.name === before.name)
        errors.push(...validateImmutable(frozen(now), frozen(before), "spec.drivers"));
  return errors;
}

export function validateStorageCapacity(
  object: DeepReadonly<CSIStorageCapacity>,
  old: DeepReadonly<CSIStorageCapacity> | undefined,
): FieldError[] {
  const { capacity, storageClassName = "" } = object;
  const errors = validateSelector(object.nodeTopology, "nodeTopology");
  errors.push(...invalids("storageClassName", storageClassName, subdomainErrors(storageClassName)));
  if (capacity !== undefined) {
    errors.push(...quantityErrors("capacity", capacity));
    if (compareQuantities(capacity, "0") < 0)
      errors.push(invalid("capacity", capacity, nonNegativeDetail));
  }
  if (old === undefined) return errors;
  for (const key of ["nodeTopology", "storageClassName"] as const)
    errors.push(...validateImmutable(object[key], old[key], key));
  return errors;
}

const eitherSource = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

export function validateAttachment(
  { spec }: DeepReadonly<VolumeAttachment>,
  old: DeepReadonly<VolumeAttachment> | undefined,
): FieldError[] {
  const errors = validateDriverName(spec.attacher, "spec.attacher");
  const { persistentVolumeName: name, inlineVolumeSpec } = spec.source ?? {};
  if (name === undefined && inlineVolumeSpec === undefined)
    errors.push(required("spec.source", eitherSource));
  else if (name !== undefined && inlineVolumeSpec !== undefined)
    errors.push(forbidden("spec.source", eitherSource));
  else if (name === "")
    errors.push(
      required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"),
    );
  else if (inlineVolumeSpec !== undefined)
    errors.push(...validateInlineVolume(inlineVolumeSpec, "spec.source.inlineVolumeSpec"));
  errors.push(...invalids("spec.nodeName", spec.nodeName, subdomainErrors(spec.nodeName ?? "")));
  if (name !== undefined)
    errors.push(...invalids("spec.source.persistentVolumeName", name, subdomainErrors(name)));
  if (old !== undefined) errors.push(...validateImmutable(spec, old.spec, "spec"));
  return errors;
}

export function validateAttachmentStatus({ status }: DeepReadonly<VolumeAttachment>): FieldError[] {
  const errors: FieldError[] = [];
  if (bytesOf(status?.attachmentMetadata ?? {}) > limits.metadataBytesMax)
    errors.push(tooLong("status.attachmentMetadata", limits.metadataBytesMax));
  for (const key of ["attachError", "detachError"] as const) {
    const { message = "", errorCode } = status?.[key] ?? {};
    // The limit in the message is upstream's slip.
    if (encoder.encode(message).length > limits.messageBytesMax)
      errors.push(tooLong(`status.${key}.message`, limits.metadataBytesMax));
    if (errorCode !== undefined && errorCode < 0)
      errors.push(
        invalid(
          `status.${key}.errorCode`,
          errorCode,
          "must be between 0 and 2147483647, inclusive",
        ),
      );
  }
  return errors;
}
