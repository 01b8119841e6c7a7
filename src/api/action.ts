/** Subresources that do something: their own code in the rows, target and body made ready here. */
import type { LiveObject } from "../live/live-set.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { admitMutating, admitValidating } from "./admit.ts";
import { readValue } from "./body.ts";
import type { Call } from "./call.ts";
import { modified, notFound } from "./errors.ts";
import type { ApiResponse } from "./request.ts";
import type { ActionContext, Subresource } from "./resource-definition.ts";
import { readFromStore, readStored, type Stored, writeStored } from "./stored.ts";

const limits = { raceTriesMax: 10 } as const;

export async function runAction(
  call: Call,
  action: Subresource<KubeObject> & { readonly type: "action" },
): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  const target = await targetOf(call);
  if (action.verb === "get") return action.run(target, request, actionContext(call));
  const value = readValue(parts.codec, request, request.contentType || "application/json");
  const body = (value ?? {}) as KubeObject;
  body.metadata ??= {};
  if (definition.namespaced) body.metadata.namespace ??= request.namespace;
  request.audit?.requestObject(body);
  await admitMutating(call, "CREATE", body, undefined);
  await admitValidating(call, "CREATE", body, undefined);
  return action.run(target, { ...request, body }, actionContext(call));
}

/** The stored object that the request names. */
export async function targetOf(call: Call): Promise<Stored> {
  const { definition, parts, request } = call;
  const namespace = definition.namespaced ? request.namespace : "";
  const name = request.subresource === "proxy" ? proxiedName(request.name) : request.name;
  const target = await readStored(parts, definition, namespace, name);
  if (target === undefined) throw notFound(definition, request.name);
  return target;
}

/** `name`, `name:port` and `scheme:name:port` all name the same object. */
function proxiedName(text: string): string {
  const parts = text.split(":");
  return (parts.length === 3 ? parts[1] : parts[0]) ?? text;
}

export function actionContext(call: Call): ActionContext {
  const { authorizer, client, live, runtime } = call.parts;
  const { audit } = call.request;
  return {
    authorizer,
    audit,
    client,
    live,
    runtime,
    change: (target, change) => changeTarget(call, target, change),
  };
}

/** Compare-and-set past strategy and admission, for what only the server itself may do. */
async function changeTarget<T extends KubeObject>(
  call: Call,
  target: LiveObject<T>,
  change: (object: T) => T,
): Promise<T> {
  const { definition, parts, request } = call;
  const namespace = definition.namespaced ? request.namespace : "";
  let current: Stored | undefined = target as unknown as Stored;
  for (let tries = 1; tries <= limits.raceTriesMax; tries += 1) {
    if (current === undefined) throw notFound(definition, request.name);
    const next: T = change(copyJson<T>(current.object as unknown as T));
    if (call.dryRun) return next;
    const written = await writeStored(call, next, current.revision, 200);
    if (written.ok) return next;
    current = await readFromStore(parts, definition, namespace, request.name);
  }
  throw modified(definition, request.name);
}
