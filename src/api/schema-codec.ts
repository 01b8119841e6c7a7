/** The Codec over the type tables of `schema`: what a real server uses. */
import { decodeValue } from "../schema/decode.ts";
import { applySchemaDefaults } from "../schema/defaults.ts";
import { parseBody } from "../schema/parse.ts";
import { decodeProtobuf, protobufType } from "../schema/protobuf-decode.ts";
import { strategicMergePatch } from "../schema/strategic-merge.ts";
import type { Codec } from "./codec.ts";

export function createSchemaCodec(): Codec {
  return {
    parse: (bytes, contentType) =>
      contentType.split(";")[0]?.trim().toLowerCase() === protobufType
        ? { value: decodeProtobuf(bytes), problems: [] }
        : parseBody(bytes, contentType),
    decode: (definition, value) => decodeValue(definition.typeName, value),
    fillDefaults(definition, object) {
      applySchemaDefaults(definition.typeName, object);
      definition.defaults(object);
    },
    strategicMerge: (definition, original, patch) =>
      strategicMergePatch(definition.typeName, original, patch),
  };
}
