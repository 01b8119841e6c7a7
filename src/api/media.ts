/** The forms that objects travel in. */
import { protobufType } from "../schema/protobuf-decode.ts";
import { encodeProtobuf, type Typed } from "../schema/protobuf-encode.ts";
import { toYaml } from "../schema/yaml.ts";

export const mediaTypes = {
  json: "application/json",
  yaml: "application/yaml",
  protobuf: protobufType,
} as const;

export type Format = keyof typeof mediaTypes;

/** In the order in which they are told and preferred. */
export const formats: readonly Format[] = ["json", "yaml", "protobuf"];

/** The bytes or text of an object in a form. */
export function encodeAs(format: Format, object: Typed, pretty: boolean): Uint8Array | string {
  switch (format) {
    case "json":
      return pretty ? `${JSON.stringify(object, null, 2)}\n` : JSON.stringify(object);
    case "yaml":
      return toYaml(object);
    case "protobuf":
      return encodeProtobuf(object);
  }
}
