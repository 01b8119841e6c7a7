/** Protobuf messages of stored objects, made when first asked for and kept beside the object. */
import type { KubeObject } from "../schema/object.ts";
import { encodeMessage, envelopeOf } from "../schema/protobuf-encode.ts";
import type { Stored } from "./stored.ts";

const messages = new WeakMap<Stored, Uint8Array>();

/** The message of an object, without envelope. */
export function messageOf(stored: Stored): Uint8Array {
  let message = messages.get(stored);
  if (message === undefined) {
    message = encodeMessage(stored.object as KubeObject);
    messages.set(stored, message);
  }
  return message;
}

/** The object as it travels alone. */
export function protobufOf(stored: Stored): Uint8Array {
  return envelopeOf(stored.object as KubeObject, messageOf(stored));
}
