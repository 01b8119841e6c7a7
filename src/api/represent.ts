/** From what a verb answers to what the client asked for: form, Table, metadata only. */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import { joinBytes } from "../lib/bytes.ts";
import { inTurns } from "../lib/turns.ts";
import type { KubeObject } from "../schema/object.ts";
import { listMessage } from "../schema/protobuf-encode.ts";
import { isBuiltIn } from "../schema/types.ts";
import type { Call } from "./call.ts";
import { wrongMetadataForm } from "./errors.ts";
import type { Listed } from "./list.ts";
import { encodeAs, mediaTypes } from "./media.ts";
import { negotiate, type Wanted } from "./negotiate.ts";
import { Pieces } from "./pieces.ts";

import { messageOf } from "./protobuf-forms.ts";
import type { ApiResponse } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";
import { scaleColumns } from "./scale.ts";
import { type IncludeObject, type ListMeta, partialOf, tableOf } from "./table.ts";
import type { Shape } from "./watch-stream.ts";

const limits = {
  /** Lists of fewer items are sent in one piece. */
  itemsWholeMax: 100,
} as const;

const encoder = new TextEncoder();

/** What the client wants of this request; throws NotAcceptable for what is not served. */
export function wantedOf(call: Call, stream: boolean): Wanted {
  const { definition, request } = call;
  const protobuf = isBuiltIn(definition.typeName);
  // Kinds that are never stored have no columns.
  const table = definition.virtual === undefined;
  const custom = definition.custom !== undefined;
  const collection = request.verb === "list" || request.verb === "watch";
  return negotiate(request.accept, { protobuf, stream, table, collection, custom });
}

/** The answer to `get`, `create` and other verbs about one object. */
export function representOne(
  call: Call,
  wanted: Wanted,
  answer: ApiResponse & { readonly type: "object" },
): ApiResponse {
  const isStatus = answer.object.kind === "Status" && call.definition.kind !== "Status";
  if (wanted.as === "object" || isStatus) return inFormat(call, wanted, answer);
  const version = answer.object.metadata.resourceVersion;
  if (wanted.as === "PartialObjectMetadata") {
    const object = partialOf(answer.object, wanted.metaVersion);
    return inFormat(call, wanted, { ...withoutJson(answer), object });
  }
  if (wanted.as === "PartialObjectMetadataList")
    throw wrongMetadataForm(call.definition, wanted.as);
  const isScale = answer.object.kind === "Scale" && call.definition.kind !== "Scale";
  const isCustom = call.definition.custom !== undefined;
  const table = tableOf(
    isScale ? { columns: scaleColumns(isCustom) } : call.definition,
    [answer.object],
    {
      metadata: version === undefined ? {} : { resourceVersion: version },
      metaVersion: wanted.metaVersion,
      include: includeObject(call),
      definitions: true,
      now: call.now,
    },
  );
  return inFormat(call, wanted, { ...withoutJson(answer), object: table });
}

function withoutJson(answer: ApiResponse & { readonly type: "object" }) {
  return { type: "object", status: answer.status, warnings: answer.warnings ?? [] } as const;
}

/** The answer to `list`. */
export async function representList(
  call: Call,
  wanted: Wanted,
  listed: Listed,
): Promise<ApiResponse> {
  const { definition, warnings } = call;
  const metadata: ListMeta = {
    resourceVersion: String(listed.revision),
    ...(listed.continue === "" ? {} : { continue: listed.continue }),
    ...(listed.remaining === undefined ? {} : { remainingItemCount: listed.remaining }),
  };
  const objects = () => listed.objects.map((live) => live.object as KubeObject);
  const head = { type: "object", status: 200, warnings } as const;
  if (wanted.as === "Table") {
    const { metaVersion } = wanted;
    const include = includeObject(call);
    const options = { metadata, metaVersion, include, definitions: true, now: call.now };
    return inFormat(call, wanted, { ...head, object: tableOf(definition, objects(), options) });
  }
  if (wanted.as === "PartialObjectMetadata") throw wrongMetadataForm(definition, wanted.as);
  if (wanted.as !== "object") {
    const list = {
      kind: "PartialObjectMetadataList",
      apiVersion: `meta.k8s.io/${wanted.metaVersion}`,
      metadata,
      items: objects().map((object) => partialOf(object, wanted.metaVersion)),
    };
    return inFormat(call, wanted, { ...head, object: list as unknown as KubeObject });
  }
  if (wanted.format === "protobuf") {
    const list = { ...listHead(definition), metadata };
    if (call.request.audit?.wantsResponse) {
      call.request.audit.responseObject({ ...list, items: objects() });
    }
    const messages = await inTurns(call.parts.runtime.clock, listed.objects, messageOf);
    const bytes = inPieces(messages.length, () => listMessage(list, messages));
    return { ...head, type: "bytes", contentType: mediaTypes.protobuf, bytes };
  }
  // Lists of custom resources say that they end.
  const shown = definition.custom === undefined ? metadata : { continue: "", ...metadata };
  return inFormat(call, wanted, {
    ...head,
    get object() {
      const items = objects().map((item) => itemOf(definition, item));
      return { ...listHead(definition), metadata: shown, items } as unknown as KubeObject;
    },
    json: () => inPieces(listed.objects.length, () => listText(definition, shown, listed.objects)),
  });
}

/** Items of custom resources say what they are; those of built-in kinds do not. */
function itemOf(definition: ResourceDefinition, item: KubeObject): object {
  const { apiVersion: _a, kind: _k, ...rest } = item;
  return definition.custom === undefined ? rest : item;
}

function listHead(definition: ResourceDefinition) {
  return { kind: `${definition.kind}List`, apiVersion: apiVersionOf(definition) };
}

/** Long lists are made while they are sent. */
function inPieces(count: number, parts: () => Iterable<Uint8Array>): Uint8Array | Pieces {
  return count < limits.itemsWholeMax ? joinBytes([...parts()]) : new Pieces(parts);
}

/** The bytes of a list: those of its items, which lose the kind and apiVersion at their end. */
function* listText(
  definition: ResourceDefinition,
  metadata: ListMeta,
  objects: Listed["objects"],
): Generator<Uint8Array> {
  const { kind } = definition;
  const apiVersion = apiVersionOf(definition);
  const isTold = definition.custom !== undefined;
  const tail = isTold ? "}" : `,${JSON.stringify({ apiVersion, kind }).slice(1)}`;
  const head = JSON.stringify({ ...listHead(definition), metadata });
  yield encoder.encode(`${head.slice(0, -1)},"items":[`);
  const between = encoder.encode("},");
  let isFirst = true;
  for (const object of objects) {
    if (!isFirst) yield between;
    isFirst = false;
    const bytes = object.json();
    yield bytes.subarray(0, bytes.length - tail.length);
  }
  yield encoder.encode(isFirst ? "]}" : "}]}");
}

/** How objects stand in watch frames; undefined is as they are. */
export function watchShape(call: Call, wanted: Wanted): Shape | undefined {
  if (wanted.as === "object") return undefined;
  const { metaVersion } = wanted;
  if (wanted.as !== "Table") return (object) => partialOf(object, metaVersion);
  const include = includeObject(call);
  let isFirst = true;
  return (object) => {
    const version = object.metadata.resourceVersion;
    const table = tableOf(call.definition, "uid" in object.metadata ? [object] : [], {
      metadata: version === undefined ? {} : { resourceVersion: version },
      metaVersion,
      include,
      definitions: isFirst,
      now: call.parts.runtime.clock.now(),
    });
    isFirst = false;
    return table;
  };
}

function includeObject(call: Call): IncludeObject {
  const value = call.request.query.get("includeObject") || "Metadata";
  if (value === "None" || value === "Metadata" || value === "Object") return value;
  throw new ApiError(
    "BadRequest",
    `Unable to convert to Table as requested: includeObject: Invalid value: ` +
      `${JSON.stringify(value)}: must be 'Metadata', 'Object', 'None', or empty`,
  );
}

function inFormat(
  call: Call,
  wanted: Wanted,
  answer: ApiResponse & { readonly type: "object" },
): ApiResponse {
  const { audit } = call.request;
  if (audit !== undefined && (call.request.verb !== "list" || audit.wantsResponse)) {
    audit.responseObject(answer.object);
  }
  const { format, pretty } = wanted;
  if (format === "json" && !pretty) return answer;
  const encoded = encodeAs(format, answer.object, pretty);
  return {
    type: "bytes",
    status: answer.status,
    contentType: mediaTypes[format],
    bytes: typeof encoded === "string" ? encoder.encode(encoded) : encoded,
    warnings: answer.warnings ?? [],
  };
}
