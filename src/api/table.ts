/** meta.k8s.io/v1 Table and PartialObjectMetadata: what kubectl get and metadata clients read. */
import type { KubeObject } from "../schema/object.ts";
import type { Wanted } from "./negotiate.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** The Table of some objects; `definitions` false leaves the column list out (watch). */
export function tableOf(
  definition: Pick<ResourceDefinition, "columns">,
  objects: readonly KubeObject[],
  options: {
    readonly metadata: ListMeta;
    readonly metaVersion: Wanted["metaVersion"];
    readonly include: IncludeObject;
    readonly definitions: boolean;
    readonly now: Date;
  },
): KubeObject {
  const { metaVersion } = options;
  const table = {
    kind: "Table",
    apiVersion: `meta.k8s.io/${metaVersion}`,
    metadata: options.metadata,
    columnDefinitions: options.definitions ? columnDefinitions(definition) : null,
    rows: objects.map((object) => ({
      cells: definition.columns.map((column) => column.value(object, options.now)),
      object: options.include === "None" ? null : included(object, options),
    })),
  };
  return table as unknown as KubeObject;
}

function columnDefinitions(definition: Pick<ResourceDefinition, "columns">) {
  return definition.columns.map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? "",
    description,
    priority,
  }));
}

function included(
  object: KubeObject,
  options: { readonly include: IncludeObject; readonly metaVersion: Wanted["metaVersion"] },
): KubeObject {
  return options.include === "Object" ? object : partialOf(object, options.metaVersion);
}

/** The metadata of an object as an object of its own. */
export function partialOf(object: KubeObject, metaVersion: Wanted["metaVersion"]): KubeObject {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: `meta.k8s.io/${metaVersion}`,
    metadata: object.metadata,
  };
}
