/**
 * What every request goes through, however it came: authorize, decode, default, admit, validate,
 * store, encode. The verbs are in files of their own.
 */

import type { Client } from "../client/client.ts";
import { ApiError } from "../lib/api-error.ts";
import type { ByteStream } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import { actionContext, runAction, targetOf } from "./action.ts";
import { admitValidating } from "./admit.ts";
import type { Auditor } from "./audit/auditor.ts";
import type { AuditTrail } from "./audit/trail.ts";
import { authorize, authorizeRequest } from "./authorize-call.ts";
import type { Attributes } from "./authorizer.ts";
import type { Call, Parts } from "./call.ts";
import { create } from "./create.ts";
import { deleteOne } from "./delete.ts";
import { deleteCollection } from "./delete-collection.ts";
import { methodNotAllowed, methodNotServed, notFound, unknownResource } from "./errors.ts";
import { computedObjects, currentSet, listObjects } from "./list.ts";
import { readListOptions } from "./list-options.ts";
import { createLocalClient } from "./local-client.ts";
import type { Wanted } from "./negotiate.ts";
import { readWriteQuery } from "./options.ts";
import { patch } from "./patch.ts";
import type { Registry } from "./registry.ts";
import { representList, representOne, wantedOf, watchShape } from "./represent.ts";
import type { ApiRequest, ApiResponse, User } from "./request.ts";
import type { Subresource } from "./resource-definition.ts";
import { getScale, writeScale } from "./scale.ts";
import { answerStored, readStored } from "./stored.ts";
import { update } from "./update.ts";
import { planWatch, type WatchSink } from "./watch.ts";
import { streamForm, streamTypes, watchStream } from "./watch-stream.ts";
import { WatchTimes } from "./watch-times.ts";

export interface Pipeline {
  readonly registry: Registry;
  /** Answers a request; throws ApiError for everything that is wrong with it. */
  handle(request: ApiRequest): Promise<ApiResponse>;
  /** A watch for callers in process: events instead of frames. Returns once it follows. */
  watch(request: ApiRequest, sink: WatchSink): Promise<void>;
  /** Authorizes an upgrade and hands the socket to the subresource (exec, attach, port-forward). */
  upgrade(request: ApiRequest, socket: ByteStream): Promise<void>;
  /** The authorizer's answer as an error, for paths that are no resources. */
  authorize(attributes: Attributes, audit?: AuditTrail): Promise<void>;
  /** Makes the records of requests; absent when none are made. */
  readonly auditor?: Auditor | undefined;
  /** The server as a client of itself. */
  clientOf(user: User): Client;
}

/** The user that the server's own parts act as. */
export const serverUser: User = {
  name: "system:apiserver",
  uid: "",
  groups: ["system:masters", "system:authenticated"],
  extra: {},
};

export interface PipelineOptions extends Omit<Parts, "client" | "watchTimes"> {
  readonly auditor?: Auditor | undefined;
}

export function createPipeline(options: PipelineOptions): Pipeline {
  const pipeline: Pipeline = {
    registry: options.registry,
    async handle(request) {
      const call = await open(request);
      try {
        return await dispatch(call);
      } catch (error) {
        if (error instanceof ApiError) error.warnings = call.warnings;
        throw error;
      }
    },
    async watch(request, sink) {
      const planned = await planWatch(await open(request));
      const watch = planned.start(sink);
      if (request.signal.aborted) watch.end();
      else request.signal.addEventListener("abort", () => watch.end(), { once: true });
    },
    upgrade: async (request, socket) => upgrade(await open(request), socket),
    authorize: (attributes, audit) => authorize(parts.authorizer, attributes, audit),
    auditor: options.auditor,
    clientOf: (user) => createLocalClient(pipeline, user),
  };
  const watchTimes = new WatchTimes(options.runtime.clock);
  const parts: Parts = { ...options, client: pipeline.clientOf(serverUser), watchTimes };
  const open = (request: ApiRequest) => openCall(parts, request);
  return pipeline;
}

async function openCall(parts: Parts, request: ApiRequest): Promise<Call> {
  const definition = parts.registry.find(request.resource);
  if (definition === undefined) throw unknownResource();
  await authorizeRequest(parts.authorizer, request);
  const now = parts.runtime.clock.now();
  const warnings = definition.deprecation === undefined ? [] : [definition.deprecation];
  if (definition.deprecation !== undefined && definition.custom === undefined)
    parts.deprecated?.(request);
  return { parts, request, definition, ...readWriteQuery(request), now, warnings };
}

async function dispatch(call: Call): Promise<ApiResponse> {
  const { definition, request } = call;
  if (request.subresource !== "") {
    const subresource = definition.subresources[request.subresource];
    if (subresource === undefined) throw unknownResource();
    // What a stream answers is between the client and the other side.
    if (subresource.type === "stream") return onSubresource(call, subresource);
    const wanted = wantedOf(call, false);
    return represent(call, wanted, await onSubresource(call, subresource));
  }
  if (request.verb === "connect" || !definition.verbs.includes(request.verb)) {
    throw definition.custom === undefined
      ? methodNotServed()
      : methodNotAllowed(definition, request.verb);
  }
  const wanted = wantedOf(call, request.verb === "watch");
  switch (request.verb) {
    case "get":
      return represent(call, wanted, await get(call));
    case "list":
      return representList(call, wanted, await listObjects(call));
    case "watch": {
      const form = streamForm(wanted, watchShape(call, wanted));
      const frames = watchStream(await planWatch(call), form);
      const contentType = streamTypes[form.format];
      return { type: "stream", status: 200, contentType, frames, warnings: call.warnings };
    }
    case "create":
      return represent(call, wanted, await create(call));
    case "update":
      return represent(call, wanted, await update(call));
    case "patch":
      return represent(call, wanted, await patch(call));
    case "delete":
      return represent(call, wanted, await deleteOne(call));
    case "deletecollection":
      return represent(call, { ...wanted, as: "object" }, await deleteCollection(call));
  }
}

function represent(call: Call, wanted: Wanted, answer: ApiResponse): ApiResponse {
  if (answer.type !== "object") return answer;
  if (wanted.as === "object" && wanted.format === "json" && !wanted.pretty) {
    call.request.audit?.responseObject(answer.object);
    return answer;
  }
  return representOne(call, wanted, answer);
}

async function get(call: Call): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  if (definition.computed !== undefined) {
    const found = (await computedObjects(call)).find(({ object }) => {
      return object.metadata.name === request.name;
    });
    if (found === undefined) throw notFound(definition, request.name);
    return answerStored(call, found);
  }
  const { notOlderThan } = readListOptions(request.query, "list");
  if (notOlderThan > 0) await currentSet(call, notOlderThan);
  const namespace = definition.namespaced ? request.namespace : "";
  const stored = await readStored(parts, definition, namespace, request.name);
  if (stored === undefined) throw notFound(definition, request.name);
  return answerStored(call, stored);
}

async function onSubresource(
  call: Call,
  subresource: Subresource<KubeObject>,
): Promise<ApiResponse> {
  const { definition, request } = call;
  const { verb } = request;
  const refuse = () => {
    if (definition.custom === undefined) return methodNotServed();
    const plural = `${definition.plural}/${request.subresource}`;
    return methodNotAllowed({ ...definition, plural }, verb);
  };
  switch (subresource.type) {
    case "status":
      if (verb === "get") return get(call);
      if (verb === "update") return update(call);
      if (verb === "patch") return patch(call);
      throw refuse();
    case "part":
      if (!(subresource.verbs as readonly string[]).includes(verb)) throw refuse();
      if (verb === "get") return get(call);
      return verb === "update" ? update(call) : patch(call);
    case "scale":
      if (verb === "get") return getScale(call, subresource);
      if (verb === "update" || verb === "patch") return writeScale(call, subresource);
      throw refuse();
    case "action":
      if (verb !== subresource.verb) throw refuse();
      return runAction(call, subresource);
    case "stream":
      return connect(call, subresource);
  }
}

async function connect(
  call: Call,
  subresource: Subresource<KubeObject> & { readonly type: "stream" },
): Promise<ApiResponse> {
  const target = await targetOf(call);
  if (subresource.fetch === undefined) {
    throw new ApiError("BadRequest", "Upgrade request required");
  }
  await admitValidating(call, "CONNECT", target.object, target.object);
  return subresource.fetch(target, call.request, actionContext(call));
}

async function upgrade(call: Call, socket: ByteStream): Promise<void> {
  const { definition, request } = call;
  const subresource = definition.subresources[request.subresource];
  if (subresource === undefined) throw unknownResource();
  if (subresource.type !== "stream") throw methodNotAllowed(definition, request.verb);
  const target = await targetOf(call);
  await admitValidating(call, "CONNECT", target.object, target.object);
  await request.audit?.switching();
  await subresource.open(target, request, socket, actionContext(call));
}
