/** meta.k8s.io/v1 Table and PartialObjectMetadata: what kubectl get and metadata clients read. */
import type { KubeObject } from "../schema/object.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export type IncludeObject = "None" | "Metadata" | "Object";

export interface ListMeta {
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** The Table of some objects; `definitions` false leaves the column list out (watch). */
export function tableOf(
  definition: ResourceDefinition,
  objects: readonly KubeObject[],
  options: {
    readonly metadata: ListMeta;
    readonly include: IncludeObject;
    readonly definitions: boolean;
    readonly now: Date;
  },
): KubeObject {
  const table = {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata,
    columnDefinitions: options.definitions ? columnDefinitions(definition) : null,
    rows: objects.map((object) => ({
      cells: definition.columns.map((column) => column.value(object, options.now)),
      ...(options.include === "None" ? {} : { object: included(object, options.include) }),
    })),
  };
  return table as unknown as KubeObject;
}

function columnDefinitions(definition: ResourceDefinition) {
  return definition.columns.map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? "",
    description,
    priority,
  }));
}

function included(object: KubeObject, include: IncludeObject): KubeObject {
  return include === "Object" ? object : partialOf(object);
}

/** The metadata of an object as an object of its own. */
export function partialOf(object: KubeObject): KubeObject {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: object.metadata,
  };
}

/** The Table that a Status is shown as, by clients that ask for Tables everywhere. */
export function tableOfStatus(status: Readonly<Record<string, unknown>>): KubeObject {
  const names = ["Status", "Reason", "Message"];
  const cells = [status.status ?? "", status.reason ?? "", status.message ?? ""];
  const table = {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: {},
    columnDefinitions: names.map((name) => ({
      name,
      type: "string",
      format: "",
      description: name,
      priority: 0,
    })),
    rows: [{ cells, object: status }],
  };
  return table as unknown as KubeObject;
}
