/** How a row of the resource table is written down: what is usual is left out. */

import { statusResets } from "../api/reset-fields.ts";
import type {
  Column,
  FieldError,
  ResourceDefinition,
  Strategy,
  Subresource,
  Verb,
  WriteContext,
} from "../api/resource-definition.ts";
import type { Resource } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { ageOf } from "../lib/human-duration.ts";
import { pathSegmentErrors, subdomainErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { copyJson } from "../schema/copy.ts";
import { zeroMember } from "../schema/decode.ts";
import { type FieldSet, nothing } from "../schema/field-set.ts";
import type { KubeObject } from "../schema/object.ts";
import type { TypeName } from "../schema/type-table.ts";
import { columnDescription, docAt } from "./column-descriptions.ts";
import { dropGatedFields } from "./core/gated-fields.ts";
import { finalizerErrors, type NameRule, validateMetadata } from "./metadata.ts";
import { updateRules } from "./update-rules.ts";

export const allVerbs: readonly Verb[] = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
];

type Validate<T> = (object: DeepReadonly<T>, context: WriteContext<T>) => readonly FieldError[];

export interface Row<T extends KubeObject> {
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly verbs?: readonly Verb[];
  readonly singular?: string;
  readonly typeName?: string;
  /** The warning of a deprecated kind. */
  readonly deprecation?: string;
  /** What stands in the Name column where that is not the name alone. */
  readonly nameCell?: (object: DeepReadonly<T>) => string;
  /** What stands between the Name and the Age column. */
  readonly columns?: readonly Column<T>[];
  /** Where the Age column stands; -1 leaves it out. Default: before the first wide column. */
  readonly age?: number;
  readonly fields?: ResourceDefinition<T>["fields"];
  readonly defaults?: (object: T) => void;
  /** True where only `validate` judges the metadata of new objects, if anyone does. */
  readonly nameless?: boolean;
  /** True where new objects' metadata is judged when nothing else is wrong, as any path's part. */
  readonly metadataLast?: boolean;
  /** True where names are judged again with each update. */
  readonly namesOnUpdate?: boolean;
  /** What names must look like; by default RFC 1123 subdomains. */
  readonly nameRule?: NameRule;
  readonly ttlSeconds?: number;
  readonly conversion?: ResourceDefinition<T>["conversion"];
  /**
   * True when only the status subresource writes the status; "kept" lets a create bring one along
   * (nodes, persistent volumes).
   */
  readonly status?: boolean | "kept";
  /**
   * metadata.generation counts changes outside metadata and status, and of a part of metadata;
   * with "changes" a new object has none, with "once" it never counts on.
   */
  readonly generation?: boolean | "labels" | "annotations" | "changes" | "once";
  readonly prepare?: Strategy<T>["prepare"];
  /** Runs for all but status writes; metadata is checked before. */
  readonly validate?: Validate<T>;
  /** Runs for status writes. */
  readonly validateStatus?: Validate<T>;
  readonly strategy?: Omit<Strategy<T>, "prepare" | "validate">;
  readonly subresources?: Readonly<Record<string, Subresource<T>>>;
  readonly storagePrefix?: string | null;
  readonly virtual?: ResourceDefinition<T>["virtual"];
  readonly computed?: ResourceDefinition<T>["computed"];
}

/** A column; wide ones are written with `wide`. */
export function column<T>(
  name: string,
  value: (object: DeepReadonly<T>, now: Date) => string | number | boolean | null,
  description = "",
  type: Column<T>["type"] = "string",
): Column<T> {
  return { name, type, description, priority: 0, value };
}
export function wide<T>(
  name: string,
  value: (object: DeepReadonly<T>, now: Date) => string | number | boolean | null,
  description = "",
): Column<T> {
  return { name, type: "string", description, priority: 1, value };
}
export function count<T>(
  name: string,
  value: (object: DeepReadonly<T>) => number,
  description = "",
): Column<T> {
  return { name, type: "integer", description, priority: 0, value };
}

function nameColumnOf(value: Column<KubeObject>["value"]): Column<KubeObject> {
  return {
    name: "Name",
    type: "string",
    format: "name",
    get description() {
      return docAt("meta.v1.ObjectMeta.name");
    },
    priority: 0,
    value,
  };
}
/** The first column of every kind. */
export const nameColumn = nameColumnOf((object) => object.metadata.name ?? "");
/** How old an object is. */
export const ageColumn: Column<KubeObject> = {
  name: "Age",
  type: "string",
  get description() {
    return docAt("meta.v1.ObjectMeta.creationTimestamp");
  },
  priority: 0,
  value: (object, now) => ageOf(object.metadata.creationTimestamp, now),
};
/** `Created At` in place of `Age`, for kinds that upstream has no printer for. */
export const createdAtColumn: Column<KubeObject> = {
  name: "Created At",
  type: "date",
  get description() {
    return ageColumn.description;
  },
  priority: 0,
  value: (object) => object.metadata.creationTimestamp ?? null,
};

/** The documentation of all types is only unpacked for those who look at a table. */
function described<T>(column: Column<T>, type: TypeName): Column<T> {
  return {
    ...column,
    get description() {
      return columnDescription(type, column.name) ?? column.description;
    },
  };
}

function columnsOf<T extends KubeObject>(row: Row<T>, type: TypeName): readonly Column<T>[] {
  const own = (row.columns ?? []).map((one) => described(one, type));
  const firstWide = own.findIndex((one) => one.priority === 1);
  const at = row.age ?? (firstWide < 0 ? own.length : firstWide);
  if (at >= 0) own.splice(at, 0, ageColumn as unknown as Column<T>);
  if (own.some((one) => one.name === "Name" && one.priority === 1)) return own;
  const first = row.nameCell === undefined ? nameColumn : nameColumnOf(row.nameCell as never);
  return [first as unknown as Column<T>, ...own];
}

type Parts = Record<string, unknown>;

function outsideMetadata(object: unknown): Parts {
  const { metadata: _metadata, status: _status, ...rest } = object as Parts;
  return rest;
}

/** Sent metadata with the parts that a status write does not change as they were. */
function keptOf(
  sent: KubeObject["metadata"],
  old: KubeObject["metadata"],
  resets: FieldSet | undefined,
): KubeObject["metadata"] {
  return resets?.["f:labels"] === undefined ? sent : { ...sent, labels: old.labels ?? {} };
}

/** On main writes the status stays what it was; on status writes everything else does. */
function keepParts<T extends KubeObject>(
  object: T,
  context: WriteContext<T>,
  row: Row<T>,
  identity: Resource<T>,
): void {
  const type = row.typeName ?? typeNameOf(identity as Resource<KubeObject>);
  const resets = statusResets(identity)["f:metadata"];
  const parts = object as unknown as Parts;
  const old = context.old as Parts | undefined;
  if (context.verb === "create" || old === undefined) {
    if (row.status === "kept") return;
    parts.status = zeroMember(type, "status");
    if (parts.status === undefined) delete parts.status;
    return;
  }
  if (context.subresource === "") {
    if (old.status === undefined) delete parts.status;
    else parts.status = copyJson(old.status);
    return;
  }
  if (context.subresource !== "status") return;
  for (const key of Object.keys(parts))
    if (!["metadata", "status", "apiVersion", "kind"].includes(key) && !(key in old))
      delete parts[key];
  for (const [key, value] of Object.entries(old))
    if (!["metadata", "status"].includes(key)) parts[key] = copyJson(value);
  const meta = copyJson(
    old.metadata as DeepReadonly<KubeObject["metadata"]>,
  ) as KubeObject["metadata"];
  const { resourceVersion, managedFields } = object.metadata;
  const kept = resets === nothing ? meta : keptOf(object.metadata, meta, resets);
  const { labels, annotations, finalizers } = kept;
  object.metadata = {
    ...meta,
    ...(labels === undefined ? { labels: {} } : { labels }),
    ...(annotations === undefined ? { annotations: {} } : { annotations }),
    ...(finalizers === undefined ? {} : { finalizers }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(managedFields === undefined ? {} : { managedFields }),
  };
  for (const key of ["labels", "annotations"] as const)
    if (Object.keys(object.metadata[key] ?? {}).length === 0) delete object.metadata[key];
}

function countGeneration<T extends KubeObject>(
  object: T,
  context: WriteContext<T>,
  counted: NonNullable<Row<T>["generation"]>,
): void {
  if (context.verb === "create" || context.old === undefined) {
    if (counted !== "changes") object.metadata.generation = 1;
    return;
  }
  if (counted === "once") return;
  const before = context.old.metadata.generation ?? 0;
  const old = context.old as DeepReadonly<KubeObject>;
  const part = counted === "labels" || counted === "annotations" ? counted : undefined;
  const same =
    semanticEqual(outsideMetadata(object), outsideMetadata(old)) &&
    (part === undefined || semanticEqual(object.metadata[part] ?? {}, old.metadata[part] ?? {}));
  // Setting the deletion timestamp counts as a change too; the pipeline does that one.
  if (!same || before > 0) object.metadata.generation = same ? before : before + 1;
}

/** Groups of servers of their own, which do not know the rule about finalizers' names. */
const withoutFinalizerRule: ReadonlySet<string> = new Set([
  "apiextensions.k8s.io",
  "apiregistration.k8s.io",
]);

function strategyOf<T extends KubeObject>(identity: Resource<T>, row: Row<T>): Strategy<T> {
  return {
    ...updateRules(identity),
    ...row.strategy,
    prepare(object, context): void {
      if (row.status) keepParts(object, context, row, identity);
      dropGatedFields(object);
      row.prepare?.(object, context);
      if (row.generation && context.subresource !== "status")
        countGeneration(object, context, row.generation);
    },
    validate(object, context): readonly FieldError[] {
      const judged = withoutFinalizerRule.has(identity.group) ? [] : object.metadata.finalizers;
      const finalizers = (judged ?? []).flatMap((name, index) =>
        finalizerErrors(name, `metadata.finalizers[${index}]`),
      );
      if (row.metadataLast === true && context.old === undefined) {
        const errors = row.validate?.(object, context) ?? [];
        const names = { namespaced: identity.namespaced, nameRule: pathSegmentErrors };
        return errors.length > 0
          ? errors
          : [...validateMetadata(object.metadata, { ...names, isUpdate: false }), ...finalizers];
      }
      const isJudged = row.nameless !== true || context.old !== undefined;
      const meta = !isJudged
        ? []
        : validateMetadata(object.metadata, {
            namespaced: identity.namespaced,
            nameRule: row.nameRule ?? subdomainErrors,
            isUpdate: context.old !== undefined && row.namesOnUpdate !== true,
          });
      if (context.subresource === "status") {
        return [...meta, ...finalizers, ...(row.validateStatus?.(object, context) ?? [])];
      }
      return [...meta, ...finalizers, ...(row.validate?.(object, context) ?? [])];
    },
  };
}

const packages: Readonly<Record<string, string>> = {
  "metrics.k8s.io": "io.k8s.metrics.pkg.apis.metrics",
  "": "io.k8s.api.core",
  "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
  "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
};

function typeNameOf(identity: Resource<KubeObject>): string {
  const folder = packages[identity.group] ?? `io.k8s.api.${identity.group.split(".")[0]}`;
  return `${folder}.${identity.version}.${identity.kind}`;
}

/** The full definition of a row; the object type is erased as the table holds all kinds. */
export function define<T extends KubeObject>(
  identity: Resource<T>,
  row: Row<T> = {},
): ResourceDefinition {
  const status: Readonly<Record<string, Subresource<T>>> = row.status
    ? { status: { type: "status" } }
    : {};
  const typeName = row.typeName ?? typeNameOf(identity as Resource<KubeObject>);
  const definition: ResourceDefinition<T> = {
    ...identity,
    singular: row.singular ?? identity.kind.toLowerCase(),
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    verbs: row.verbs ?? allVerbs,
    typeName,
    ...(row.deprecation === undefined ? {} : { deprecation: row.deprecation }),
    columns: columnsOf(row, typeName),
    fields: row.fields ?? {},
    defaults: row.defaults ?? ((): void => {}),
    strategy: strategyOf(identity, row),
    subresources: { ...status, ...row.subresources },
    storagePrefix: row.storagePrefix === undefined ? identity.plural : row.storagePrefix,
    ...(row.ttlSeconds === undefined ? {} : { ttlSeconds: row.ttlSeconds }),
    ...(row.conversion === undefined ? {} : { conversion: row.conversion }),
    ...(row.virtual === undefined ? {} : { virtual: row.virtual }),
    ...(row.computed === undefined ? {} : { computed: row.computed }),
  };
  return definition as unknown as ResourceDefinition;
}

/** The scale subresource of everything that counts pods in the usual places. */
export const scale: Extract<Subresource<never>, { type: "scale" }> = {
  type: "scale",
  replicas: "spec.replicas",
  statusReplicas: "status.replicas",
  selector: "spec.selector",
};
