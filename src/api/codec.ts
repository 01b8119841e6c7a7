/** Turns bodies into objects of a resource; the type tables of `schema` stand behind it. */
import type { MergeType } from "../schema/merge-type.ts";
import type { KubeObject } from "../schema/object.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

/** What the strict decoder found: unknown and duplicate fields. */
export interface Decoded {
  readonly object: KubeObject;
  readonly problems: readonly string[];
}

/** All members throw ApiError BadRequest for what cannot be an object of the kind. */
export interface Codec {
  /** The JSON value of a JSON or YAML body; UnsupportedMediaType for other types. */
  parse(
    bytes: Uint8Array,
    contentType: string,
  ): { readonly value: unknown; readonly problems: readonly string[] };
  /** Checks, prunes and normalises `value`; problems of `parse` are told in their places. */
  decode(definition: ResourceDefinition, value: unknown, parsed?: readonly string[]): Decoded;
  /** Fills `+default` markers and the row's computed defaults. Mutates. */
  fillDefaults(definition: ResourceDefinition, object: KubeObject): void;
  /** How objects of the resource merge when they are applied. */
  mergeType(definition: ResourceDefinition): MergeType;
  /** What a new object holds before anyone has written to it. */
  emptyObject(definition: ResourceDefinition): object;
  /** Strategic merge by the type's patch strategies; UnsupportedMediaType where there are none. */
  strategicMerge(definition: ResourceDefinition, original: unknown, patch: unknown): unknown;
}
