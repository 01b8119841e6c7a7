/** The rows of a CustomResourceDefinition: one per served version. */
import { compareVersions } from "../../api/discovery.ts";
import { refused } from "../../api/errors.ts";
import type {
  Convert,
  FieldError,
  ResourceDefinition,
  Subresource,
  WriteContext,
} from "../../api/resource-definition.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionVersion,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { evaluateJsonPath, parseJsonPath } from "../../lib/jsonpath.ts";
import { subdomainErrors } from "../../lib/names.ts";
import { copyJson } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import { fillSchemaDefaults } from "../../schema/structural/default.ts";
import { prune } from "../../schema/structural/prune.ts";
import type { Structural } from "../../schema/structural/schema.ts";
import { validateMetadata } from "../metadata.ts";
import { allVerbs } from "../row.ts";
import { columnsOf } from "./columns.ts";
import { toleratedTexts, validateCustom } from "./validate.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;
type Version = DeepReadonly<CustomResourceDefinitionVersion>;
type Json = Record<string, unknown>;

export interface RowOptions {
  /** Aborts when the rows are taken away for good. */
  readonly removed: AbortSignal;
  /** Converts by the definition's webhook, where it has one. */
  readonly convert?: Convert | undefined;
}

/** One row per served version. */
export function customResourceRows(crd: Crd, options: RowOptions): readonly ResourceDefinition[] {
  return (crd.spec.versions ?? [])
    .filter(({ served }) => served)
    .map((version) => rowOf(crd, version, options));
}

function rowOf(crd: Crd, version: Version, options: RowOptions): ResourceDefinition {
  const { removed, convert } = options;
  const { group, scope } = crd.spec;
  const names = crd.status?.acceptedNames?.plural ? crd.status.acceptedNames : crd.spec.names;
  const schema = (version.schema?.openAPIV3Schema ?? {}) as Structural;
  const storedAs = crd.spec.versions?.find(({ storage }) => storage)?.name ?? version.name;
  const conversion =
    convert === undefined ? conversionOf(crd, version.name, schema, storedAs) : undefined;
  return {
    group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    namespaced: scope === "Namespaced",
    singular: names.singular || names.kind.toLowerCase(),
    shortNames: names.shortNames ?? [],
    categories: names.categories ?? [],
    verbs: allVerbs,
    typeName: "",
    custom: {
      schema,
      removed,
      storedAs,
      ...(convert !== undefined && { convert: pruning(crd, convert) }),
    },
    ...(version.deprecated && { deprecation: deprecation(crd, version) }),
    columns: columnsOf(version),
    fields: selectableFields(version),
    defaults: () => {},
    strategy: {
      unconditionalUpdate: false,
      prepare: (object, context) => prepare(crd, version, object, context),
      validate: (object, context) => validate(crd, version, schema, object, context),
      warn: (object) => toleratedTexts(object),
    },
    subresources: subresourcesOf(version),
    storagePrefix: `${group}/${names.plural}`,
    ...(conversion === undefined ? {} : { conversion }),
  };
}

function deprecation(crd: Crd, version: Version): string {
  const { group, names } = crd.spec;
  if (version.deprecationWarning !== undefined) return version.deprecationWarning;
  // Versions compare best first.
  const better = (crd.spec.versions ?? []).find(
    (one) => one.served && !one.deprecated && compareVersions(one.name, version.name) < 0,
  );
  const use = better === undefined ? "" : `; use ${group}/${better.name} ${names.kind}`;
  return `${group}/${version.name} ${names.kind} is deprecated${use}`;
}

function subresourcesOf(version: Version): Readonly<Record<string, Subresource<KubeObject>>> {
  const { status, scale } = version.subresources ?? {};
  return {
    ...(status !== undefined && { status: { type: "status" } }),
    ...(scale !== undefined && {
      scale: {
        type: "scale",
        replicas: scale.specReplicasPath,
        statusReplicas: scale.statusReplicasPath,
        selector: scale.labelSelectorPath ?? "",
      },
    }),
  };
}

function selectableFields(version: Version): ResourceDefinition["fields"] {
  const entries = (version.selectableFields ?? []).map(({ jsonPath }) => {
    const path = parseJsonPath(jsonPath);
    const read = (object: DeepReadonly<KubeObject>): string => {
      const [value] = evaluateJsonPath(path, object);
      return value === undefined || value === null ? "" : String(value);
    };
    return [jsonPath.replace(/^\./, ""), read] as const;
  });
  return Object.fromEntries(entries);
}

/**
 * Needed once an object may be stored in another form than it is read: under another version, or
 * before the schema changed.
 */
function conversionOf(
  crd: Crd,
  version: string,
  schema: Structural,
  stored: string,
): ResourceDefinition["conversion"] {
  const { versions = [], group } = crd.spec;
  if (versions.length === 1 && (crd.metadata.generation ?? 1) === 1) return undefined;
  return {
    toStorage(object) {
      object.apiVersion = `${group}/${stored}`;
      return object;
    },
    fromStorage(object) {
      object.apiVersion = `${group}/${version}`;
      prune(object as unknown as Json, schema);
      fillSchemaDefaults(object, schema);
      return object;
    },
  };
}

/** What a webhook answers is pruned and defaulted by the schema of its new version. */
function pruning(crd: Crd, convert: Convert): Convert {
  return async (objects, apiVersion) => {
    const converted = await convert(objects, apiVersion);
    const name = apiVersion.split("/").at(-1);
    const version = crd.spec.versions?.find((one) => one.name === name);
    const schema = (version?.schema?.openAPIV3Schema ?? {}) as Structural;
    for (const object of converted) {
      prune(object as unknown as Json, schema);
      fillSchemaDefaults(object, schema);
    }
    return converted;
  };
}

function prepare(
  crd: Crd,
  version: Version,
  object: KubeObject,
  context: WriteContext<KubeObject>,
): void {
  const parts = object as unknown as Json;
  const hasStatus = version.subresources?.status !== undefined;
  const old = context.old as DeepReadonly<Json> | undefined;
  if (context.verb === "create" || old === undefined) {
    refuseWhileTerminating(crd, object);
    if (hasStatus) delete parts.status;
    object.metadata.generation = 1;
    return;
  }
  if (context.subresource === "status") {
    keepAllButStatus(object, old);
    return;
  }
  if (hasStatus) {
    if (old.status === undefined) delete parts.status;
    else parts.status = copyJson(old.status);
  }
  const before = context.old?.metadata.generation ?? 0;
  object.metadata.generation = Bun.deepEquals(withoutMetadata(parts), withoutMetadata(old), true)
    ? before
    : before + 1;
}

function refuseWhileTerminating(crd: Crd, object: KubeObject): void {
  if (crd.metadata.deletionTimestamp === undefined) return;
  const { group, names } = crd.spec;
  throw refused(
    { group, plural: names.plural, kind: names.kind },
    object.metadata.name ?? "",
    "create not allowed while custom resource definition is terminating",
  );
}

function withoutMetadata(object: Readonly<Json>): Json {
  const { metadata: _, ...rest } = object;
  return rest;
}

/** A status write changes the status and, of the metadata, only who manages which fields. */
function keepAllButStatus(object: KubeObject, old: DeepReadonly<Json>): void {
  const parts = object as unknown as Json;
  const { status } = parts;
  const { managedFields, resourceVersion } = object.metadata;
  for (const name of Object.keys(parts)) if (!(name in old)) delete parts[name];
  Object.assign(parts, copyJson(old));
  if (status === undefined) delete parts.status;
  else parts.status = status;
  if (managedFields === undefined) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
  if (resourceVersion === undefined) delete object.metadata.resourceVersion;
  else object.metadata.resourceVersion = resourceVersion;
}

async function validate(
  crd: Crd,
  version: Version,
  schema: Structural,
  object: DeepReadonly<KubeObject>,
  context: WriteContext<KubeObject>,
): Promise<readonly FieldError[]> {
  return [
    ...validateMetadata(object.metadata, {
      namespaced: crd.spec.scope === "Namespaced",
      nameRule: subdomainErrors,
      isUpdate: context.old !== undefined,
    }),
    ...(await validateCustom(schema, version, object, context)),
  ];
}
