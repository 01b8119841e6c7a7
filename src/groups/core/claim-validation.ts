/** Rules of PersistentVolumeClaims. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, subdomainErrors } from "../../lib/names.ts";
import { quantityMilliValue, tryParseQuantity } from "../../lib/quantity.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid, invalids, notSupported, required } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { compareQuantities, quantityErrors } from "../quantities.ts";
import { validateSelector } from "../selector-validation.ts";

type ReadSpec = DeepReadonly<PersistentVolumeClaimSpec>;
type ReadClaim = DeepReadonly<PersistentVolumeClaim>;

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export const betaClass = "volume.beta.kubernetes.io/storage-class";

export function validateModes(
  modes: readonly string[] | undefined,
  field: string,
  whenNone = "at least 1 access mode is required",
): FieldError[] {
  if ((modes ?? []).length === 0) return [required(field, whenNone)];
  const isKnown = (mode: string): boolean => accessModes.includes(mode);
  const errors = (modes ?? [])
    .filter((mode) => !isKnown(mode))
    .map((mode) => notSupported(field, mode, accessModes));
  const isOther = (mode: string): boolean => mode !== "ReadWriteOncePod" && isKnown(mode);
  if (modes?.includes("ReadWriteOncePod") && modes.some(isOther))
    errors.push(forbidden(field, "may not use ReadWriteOncePod with other access modes"));
  return errors;
}

interface DataSource {
  readonly apiGroup?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

function validateDataSource(source: DataSource | undefined, field: string): FieldError[] {
  if (source === undefined) return [];
  const errors: FieldError[] = [];
  const { apiGroup, kind, name, namespace } = source;
  if (!name) errors.push(required(`${field}.name`));
  if (!kind) errors.push(required(`${field}.kind`));
  if (!apiGroup && kind !== "PersistentVolumeClaim")
    errors.push(
      invalid(
        field,
        kind ?? "",
        "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
      ),
    );
  if (apiGroup) errors.push(...invalids(`${field}.apiGroup`, apiGroup, subdomainErrors(apiGroup)));
  if (namespace) errors.push(...invalids(`${field}.namespace`, namespace, labelErrors(namespace)));
  return errors;
}

function sourceText({ apiGroup = "", kind = "", name = "" }: DataSource): string {
  return [apiGroup, kind, name].join(" ");
}

function validateDataSources({ dataSource, dataSourceRef }: ReadSpec, field: string) {
  const errors = [
    ...validateDataSource(dataSource, `${field}.dataSource`),
    ...validateDataSource(dataSourceRef, `${field}.dataSourceRef`),
  ];
  if (dataSource === undefined || dataSourceRef === undefined) return errors;
  if (dataSourceRef.namespace)
    errors.push(
      invalid(
        field,
        `${field}.dataSource`,
        "may not be specified when dataSourceRef.namespace is specified",
      ),
    );
  else if (sourceText(dataSource) !== sourceText(dataSourceRef))
    errors.push(invalid(field, `${field}.dataSource`, "must match dataSourceRef"));
  return errors;
}

/** The errors of a claim's spec, wherever it stands. */
export function validateClaimSpec(spec: ReadSpec, field: string): FieldError[] {
  const errors = validateModes(spec.accessModes, `${field}.accessModes`);
  if (spec.selector) errors.push(...validateSelector(spec.selector, `${field}.selector`));
  const storage = spec.resources?.requests?.storage;
  const at = `${field}.resources[storage]`;
  if (storage === undefined) errors.push(required(at));
  else {
    const problems = quantityErrors(at, storage);
    if (problems.length === 0 && compareQuantities(storage, "0") <= 0)
      problems.push(invalid(at, storage, "must be greater than zero"));
    errors.push(...problems);
  }
  for (const key of ["storageClassName", "volumeAttributesClassName"] as const) {
    const name = spec[key];
    if (name) errors.push(...invalids(`${field}.${key}`, name, subdomainErrors(name)));
  }
  const modes = ["Block", "Filesystem"];
  if (spec.volumeMode !== undefined && !modes.includes(spec.volumeMode))
    errors.push(notSupported(`${field}.volumeMode`, spec.volumeMode, modes));
  return [...errors, ...validateDataSources(spec, field)];
}

/** Whether the class is set for the first time: from the old annotation, or as the default. */
function isClassAdopted(now: ReadClaim, old: ReadClaim): boolean {
  const [before, after] = [old.spec.storageClassName, now.spec.storageClassName];
  if (before !== undefined || after === undefined) return false;
  const annotated = old.metadata.annotations?.[betaClass];
  return annotated === undefined || annotated === after;
}

/** What must not change, with what may change as it was before. */
function frozen(now: ReadClaim, old: ReadClaim): unknown {
  const { spec } = now;
  const isBound = old.status?.phase === "Bound";
  const requests = { ...spec.resources?.requests, storage: old.spec.resources?.requests?.storage };
  return {
    ...spec,
    // Binding sets the volume, once.
    volumeName: old.spec.volumeName ? spec.volumeName : undefined,
    storageClassName: isClassAdopted(now, old) ? undefined : spec.storageClassName,
    volumeAttributesClassName: isBound
      ? old.spec.volumeAttributesClassName
      : spec.volumeAttributesClassName,
    resources: isBound ? { ...spec.resources, requests } : spec.resources,
  };
}

/** What a change of a claim may not do. */
export function validateClaimUpdate(now: ReadClaim, old: ReadClaim): FieldError[] {
  const errors: FieldError[] = [];
  const annotated = [now, old].map(({ metadata }) => metadata.annotations?.[betaClass]);
  if (annotated[0] !== annotated[1] && !isClassAdopted(now, old))
    errors.push(
      invalid(`metadata.annotations[${betaClass}]`, annotated[0] ?? "", "field is immutable"),
    );
  if (!semanticEqual(frozen(now, old), frozen(old, old)))
    errors.push(
      forbidden(
        "spec",
        "spec is immutable after creation except resources.requests and " +
          "volumeAttributesClassName for bound claims",
      ),
    );
  const wanted = now.spec.resources?.requests?.storage ?? "0";
  const before = old.spec.resources?.requests?.storage ?? "0";
  const granted = old.status?.capacity?.storage ?? "0";
  // Asking for less again is how to recover from an expansion that failed.
  if (compareQuantities(wanted, before) < 0 && compareQuantities(wanted, granted) <= 0)
    errors.push(
      forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"),
    );
  errors.push(...validateImmutable(now.spec.volumeMode, old.spec.volumeMode, "volumeMode"));
  const attributes = now.spec.volumeAttributesClassName;
  if (old.status?.currentVolumeAttributesClassName === undefined || attributes) return errors;
  if (attributes === old.spec.volumeAttributesClassName) return errors;
  errors.push(
    forbidden(
      "spec.volumeAttributesClassName",
      `update to ${attributes === undefined ? "nil" : "empty string"} is forbidden when ` +
        "status.currentVolumeAttributesClassName is not nil",
    ),
  );
  return errors;
}

function isKnownSource({ apiGroup, kind }: DataSource): boolean {
  if (!apiGroup) return kind === "PersistentVolumeClaim";
  return apiGroup === "snapshot.storage.k8s.io" && kind === "VolumeSnapshot";
}

/** The two ways to name a data source say the same; what only the old way cannot name goes. */
export function normalizeDataSources(
  spec: PersistentVolumeClaimSpec,
  old: ReadSpec | undefined,
): void {
  // Sources in other namespaces are a feature that is off.
  if (spec.dataSourceRef?.namespace && !old?.dataSourceRef) delete spec.dataSourceRef;
  const isKept = old?.dataSource !== undefined || spec.dataSourceRef !== undefined;
  if (spec.dataSource && !isKept && !isKnownSource(spec.dataSource)) delete spec.dataSource;
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource };
  if (!dataSourceRef || dataSource || dataSourceRef.namespace) return;
  const { namespace: _namespace, ...source } = dataSourceRef;
  spec.dataSource = source;
}

/** What the writer of a claim is warned of. */
export function claimWarnings({ metadata, spec }: ReadClaim): string[] {
  const warnings: string[] = [];
  if (metadata.annotations?.[betaClass] !== undefined)
    warnings.push(
      `metadata.annotations[${betaClass}]: deprecated since v1.8; use "storageClassName" ` +
        "attribute instead",
    );
  for (const key of ["requests", "limits"] as const) {
    const amount = spec.resources?.[key]?.storage ?? "0";
    if (tryParseQuantity(amount) === undefined || quantityMilliValue(amount) % 1000 === 0) continue;
    warnings.push(
      `spec.resources.${key}[storage]: fractional byte value "${amount}" is invalid, must be ` +
        "an integer",
    );
  }
  return warnings;
}
