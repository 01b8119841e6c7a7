/** All resources that are served, found by path or by kind; rows may come and go (CRDs). */
import { apiVersionOf } from "../client/request-form.ts";
import type { KubeObject } from "../schema/object.ts";
import type { ResourceRef } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export interface Registry {
  find(ref: ResourceRef): ResourceDefinition | undefined;
  findKind(group: string, version: string, kind: string): ResourceDefinition | undefined;
  /** True when another row has the path or the kind already. */
  isTaken(row: ResourceDefinition): boolean;
  /** In the order of registration, which is the order of discovery. */
  all(): readonly ResourceDefinition[];
  /** Grows with every change of the rows: what discovery documents are cached by. */
  readonly generation: number;
  /** Adds rows; disposing takes them away again. */
  add(rows: readonly ResourceDefinition[]): Disposable;
}

export function createRegistry(rows: readonly ResourceDefinition[]): Registry {
  const byPath = new Map<string, ResourceDefinition>();
  const byKind = new Map<string, ResourceDefinition>();
  let generation = 0;
  const registry: Registry = {
    find: (ref) => byPath.get(`${ref.group}/${ref.version}/${ref.plural}`),
    findKind: (group, version, kind) => byKind.get(`${group}/${version}/${kind}`),
    isTaken: (row) => byPath.has(pathKey(row)) || byKind.has(kindKey(row)),
    all: () => [...byPath.values()],
    get generation() {
      return generation;
    },
    add(added) {
      for (const row of added) {
        byPath.set(pathKey(row), row);
        byKind.set(kindKey(row), row);
      }
      generation += 1;
      return {
        [Symbol.dispose]() {
          for (const row of added) {
            byPath.delete(pathKey(row));
            byKind.delete(kindKey(row));
          }
          generation += 1;
        },
      };
    },
  };
  registry.add(rows);
  return registry;
}

function pathKey(row: ResourceDefinition): string {
  return `${row.group}/${row.version}/${row.plural}`;
}

function kindKey(row: ResourceDefinition): string {
  return `${row.group}/${row.version}/${row.kind}`;
}

/** Where the objects of a resource lie: `/registry/pods/`. Virtual kinds have no place. */
export function storagePrefixOf(definition: ResourceDefinition): string {
  const prefix = (definition.storagePrefix ?? "").replace(/^\/?(registry\/)?/, "");
  return `/registry/${prefix.replace(/\/$/, "")}/`;
}

/** The store's key of one object. */
export function storageKey(
  definition: ResourceDefinition,
  namespace: string,
  name: string,
): string {
  const prefix = storagePrefixOf(definition);
  return definition.namespaced ? `${prefix}${namespace}/${name}` : `${prefix}${name}`;
}

/** The LiveSets' way to ask where a resource lies. */
export function locateIn(registry: Registry) {
  return (ref: ResourceRef) => {
    const definition = registry.find(ref);
    if (definition === undefined || definition.storagePrefix === null) {
      throw new Error(`Cannot follow ${ref.plural}.${ref.group}/${ref.version}: it is not stored`);
    }
    const { conversion, custom } = definition;
    const later = custom?.convert;
    return {
      prefix: storagePrefixOf(definition),
      ...(later === undefined
        ? {}
        : {
            convertLater: (objects: readonly KubeObject[]) =>
              later(objects, apiVersionOf(definition)),
          }),
      ...(conversion === undefined
        ? {}
        : { convert: (object: KubeObject) => conversion.fromStorage(object) }),
    };
  };
}
