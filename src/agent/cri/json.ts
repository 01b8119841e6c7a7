/** CRI messages as the JSON that protobuf defines, defaults included, as crictl shows them. */
import { createRegistry, type Message, toJson } from "@bufbuild/protobuf";
import { file_api } from "../../gen/cri/api_pb.ts";

/** Any message of the CRI. */
export type CriMessage = Message;

const registry = createRegistry(file_api);

export function criJson(message: CriMessage): Record<string, unknown> {
  const schema = registry.getMessage(message.$typeName);
  if (schema === undefined) throw new Error(`${message.$typeName} is no message of the CRI`);
  return toJson(schema, message, { alwaysEmitImplicit: true }) as Record<string, unknown>;
}
