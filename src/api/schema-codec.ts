/** The Codec over the type tables of `schema`: what a real server uses. */
import { decodeValue } from "../schema/decode.ts";
import { applySchemaDefaults } from "../schema/defaults.ts";
import { emptyObject, type MergeType, mergeTypeOf } from "../schema/merge-type.ts";
import { customMergeType } from "../schema/merge-type-custom.ts";
import { parseBody } from "../schema/parse.ts";
import { decodeProtobuf, protobufType } from "../schema/protobuf-decode.ts";
import { strategicMergePatch } from "../schema/strategic-merge.ts";
import { decodeCustom } from "../schema/structural/decode.ts";
import { fillSchemaDefaults } from "../schema/structural/default.ts";
import type { Codec } from "./codec.ts";

const customTypes = new WeakMap<object, MergeType>();

/** Made once for a schema, which is replaced as a whole when it changes. */
function customType(schema: object): MergeType {
  let type = customTypes.get(schema);
  if (type === undefined) {
    type = customMergeType(schema);
    customTypes.set(schema, type);
  }
  return type;
}

export function createSchemaCodec(): Codec {
  return {
    parse: (bytes, contentType) =>
      contentType.split(";")[0]?.trim().toLowerCase() === protobufType
        ? { value: decodeProtobuf(bytes), problems: [] }
        : parseBody(bytes, contentType),
    decode(definition, value, parsed = []) {
      if (definition.custom === undefined) return decodeValue(definition.typeName, value, parsed);
      const { object, problems } = decodeCustom(definition, definition.custom.schema, value);
      return { object, problems: [...parsed, ...problems] };
    },
    fillDefaults(definition, object) {
      if (definition.custom !== undefined) fillSchemaDefaults(object, definition.custom.schema);
      else applySchemaDefaults(definition.typeName, object);
      definition.defaults(object);
    },
    mergeType: (definition) =>
      definition.custom === undefined
        ? mergeTypeOf(definition.typeName)
        : customType(definition.custom.schema),
    emptyObject: (definition) =>
      definition.custom === undefined ? emptyObject(definition.typeName) : {},
    strategicMerge: (definition, original, patch) =>
      strategicMergePatch(definition.typeName, original, patch),
  };
}
