/** DELETE: at once, gracefully, or once the finalizers are gone. */
import { ApiError } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isInt64 } from "../lib/exact-json.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { admitMutating, admitValidating } from "./admit.ts";
import { readValue } from "./body.ts";
import type { Call } from "./call.ts";
import { conflict, groupResource, invalid, kindGroup, modified, notFound } from "./errors.ts";
import { dryRunErrors, wholeNumber } from "./options.ts";
import { planDelete, ungraced } from "./plan-delete.ts";
import type { ApiResponse } from "./request.ts";
import type { FieldError, ResourceDefinition } from "./resource-definition.ts";
import { answerObject, readFromStore, readStored, type Stored, writeStored } from "./stored.ts";
import { removeStored } from "./update.ts";

const limits = { raceTriesMax: 10 } as const;

export interface DeleteRequest {
  readonly gracePeriodSeconds: number | undefined;
  readonly policy: "Background" | "Foreground" | "Orphan" | undefined;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly dryRun: boolean;
}

export async function deleteOne(call: Call): Promise<ApiResponse> {
  const options = readDeleteOptions(call);
  const deleted = await deleteNamed(call, call.request.name, call.request.namespace, options);
  if (deleted.type === "kept" || returnsObject(call.definition)) return deleted.answer;
  return answerObject(call, successStatus(call.definition, call.request.name, deleted.uid));
}

export type Deleted = {
  readonly type: "kept" | "removed";
  readonly answer: ApiResponse & { readonly type: "object" };
  readonly uid: string;
};

const keptPods =
  "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background " +
  "to remove them or set propagationPolicy=Orphan to suppress this warning";

/** Deletes one object as `options` say; throws NotFound and Conflict. */
export async function deleteNamed(
  call: Call,
  name: string,
  namespace: string,
  options: DeleteRequest,
): Promise<Deleted> {
  const { definition, parts } = call;
  if (options.policy === undefined && groupResource(definition) === "jobs.batch")
    call.warnings.push(keptPods);
  const dry = { ...call, dryRun: call.dryRun || options.dryRun };
  for (let tries = 1; ; tries += 1) {
    const read = tries === 1 ? readStored : readFromStore;
    const current = await read(parts, definition, definition.namespaced ? namespace : "", name);
    if (current === undefined) throw notFound(definition, name);
    checkPreconditions(definition, name, current.object, options);
    // Whatever may change an object is asked too, as upstream does; there is nothing to change.
    await admitMutating(dry, "DELETE", current.object as KubeObject, current.object);
    await admitValidating(dry, "DELETE", current.object, current.object);
    const deleted = await carryOut(dry, current, options);
    if (deleted !== undefined) return deleted;
    if (tries === limits.raceTriesMax) throw modified(definition, name);
  }
}

async function carryOut(
  call: Call,
  current: Stored,
  options: DeleteRequest,
): Promise<Deleted | undefined> {
  const old = current.object;
  const uid = old.metadata.uid ?? "";
  const plan = planDelete(call.definition, old, options, call.now);
  const done = (type: Deleted["type"], answer: ApiResponse | undefined): Deleted | undefined =>
    answer?.type === "object" ? { type, answer, uid } : undefined;
  switch (plan.type) {
    case "keep":
      return done("kept", answerObject(call, copyJson<KubeObject>(old as KubeObject)));
    case "mark": {
      if (call.dryRun) return done("kept", answerObject(call, plan.object));
      const written = await writeStored(call, plan.object, current.revision, 200);
      return written.ok ? done("kept", written.answer) : undefined;
    }
    case "remove": {
      const { marked } = plan;
      if (call.dryRun) {
        return done(
          "removed",
          answerObject(call, marked ?? copyJson<KubeObject>(old as KubeObject)),
        );
      }
      if (marked === undefined) return done("removed", await removeStored(call, old, current));
      const written = await writeStored(call, marked, current.revision, 200);
      if (!written.ok) return undefined;
      const { namespace = "", name = "" } = marked.metadata;
      const last = await readFromStore(call.parts, call.definition, namespace, name);
      if (last === undefined) return undefined;
      return done("removed", await removeStored(call, last.object, last));
    }
  }
}

function checkPreconditions(
  definition: ResourceDefinition,
  name: string,
  object: DeepReadonly<KubeObject>,
  options: DeleteRequest,
): void {
  const { metadata } = object;
  const parts = [
    ["UID", options.uid, metadata.uid, "deleted and then recreated"],
    ["ResourceVersion", options.resourceVersion, metadata.resourceVersion, "modified"],
  ] as const;
  for (const [part, wanted, actual, fate] of parts) {
    if (wanted === undefined || wanted === actual) continue;
    if (ungraced.has(definition.kind)) {
      const why = `${part} in precondition: ${wanted}, ${part} in object meta: ${actual}`;
      throw conflict(definition, name, `Precondition failed: ${why}`);
    }
    throw conflict(
      // Upstream puts the kind where everyone else puts the resource.
      { ...definition, group: kindGroup(definition), plural: definition.kind },
      name,
      `the ${part} in the precondition (${wanted}) does not match the ${part} in record ` +
        `(${actual}). The object might have been ${fate}`,
    );
  }
}

/** meta/v1 DeleteOptions as they come, in the body or in the query. */
interface SentOptions {
  readonly kind?: unknown;
  readonly gracePeriodSeconds?: unknown;
  readonly propagationPolicy?: unknown;
  readonly orphanDependents?: unknown;
  readonly preconditions?: { readonly uid?: unknown; readonly resourceVersion?: unknown } | null;
  readonly dryRun?: unknown;
}

export function readDeleteOptions(call: Call): DeleteRequest {
  const sent = sentOptions(call);
  const errors: FieldError[] = [];
  const grace = sent.gracePeriodSeconds ?? undefined;
  if (grace !== undefined && !isInt64(grace)) {
    throw new ApiError("BadRequest", "gracePeriodSeconds must be a whole number");
  }
  const dryRun = Array.isArray(sent.dryRun) ? sent.dryRun.map(String) : [];
  errors.push(...dryRunErrors(dryRun));
  const policy = policyOf(sent, errors);
  if (errors.length > 0) {
    throw invalid({ group: "meta.k8s.io", plural: "", kind: "DeleteOptions" }, "", errors);
  }
  return {
    // Upstream treats a negative period as one second.
    gracePeriodSeconds: grace === undefined ? undefined : grace < 0 ? 1 : (grace as number),
    policy,
    uid: textOf(sent.preconditions?.uid),
    resourceVersion: textOf(sent.preconditions?.resourceVersion),
    dryRun: dryRun.length > 0,
  };
}

function textOf(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : String(value);
}

function policyOf(sent: SentOptions, errors: FieldError[]): DeleteRequest["policy"] {
  const { propagationPolicy: policy, orphanDependents: orphan } = sent;
  const hasPolicy = policy !== undefined && policy !== null;
  const hasOrphan = orphan !== undefined && orphan !== null;
  const field = "propagationPolicy";
  if (hasPolicy && hasOrphan) {
    const detail = "orphanDependents and deletionPropagation cannot be both set";
    errors.push({ type: "FieldValueInvalid", field, value: policy, detail });
    return undefined;
  }
  if (hasOrphan) return orphan === true ? "Orphan" : "Background";
  if (!hasPolicy) return undefined;
  if (policy === "Background" || policy === "Foreground" || policy === "Orphan") return policy;
  const detail = 'supported values: "Foreground", "Background", "Orphan", "nil"';
  errors.push({ type: "FieldValueNotSupported", field, value: policy, detail });
  return undefined;
}

function sentOptions(call: Call): SentOptions {
  const { request, parts } = call;
  const body = readValue(parts.codec, request, request.contentType || "application/json");
  if (body !== undefined && body !== null) {
    if (typeof body !== "object" || Array.isArray(body)) {
      throw new ApiError("BadRequest", "the body of a delete must be DeleteOptions");
    }
    checkOptionsKind(body);
    request.audit?.requestObject(body);
    return body as SentOptions;
  }
  const { query } = request;
  const grace = wholeNumber(query, "gracePeriodSeconds");
  const policy = query.get("propagationPolicy");
  const orphan = query.get("orphanDependents");
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy ? { propagationPolicy: policy } : {}),
    ...(orphan ? { orphanDependents: orphan === "true" || orphan === "1" } : {}),
  };
}

/** The options of every version are the same; nothing else may be in the body. */
function checkOptionsKind(body: { readonly kind?: unknown; readonly apiVersion?: unknown }): void {
  const { kind = "DeleteOptions", apiVersion = "" } = body;
  if (kind === "DeleteOptions" || kind === "") return;
  throw new ApiError(
    "BadRequest",
    `no kind "${String(kind)}" is registered for version "${String(apiVersion)}" in scheme ` +
      '"pkg/runtime/scheme.go:111"',
  );
}

/** Kinds whose delete answers the last state in place of a Status. */
const answeredWithObject: ReadonlySet<string> = new Set([
  "namespaces",
  "persistentvolumeclaims",
  "persistentvolumes",
  "pods",
  "podtemplates",
  "resourcequotas",
  "serviceaccounts",
  "services",
  "deviceclasses.resource.k8s.io",
  "resourceclaims.resource.k8s.io",
  "resourceclaimtemplates.resource.k8s.io",
  "resourceslices.resource.k8s.io",
  "storageclasses.storage.k8s.io",
  "csidrivers.storage.k8s.io",
  "csinodes.storage.k8s.io",
  "volumeattachments.storage.k8s.io",
  "volumeattributesclasses.storage.k8s.io",
]);

/** Who deletes such an object gets it back, and not a Status. */
export function returnsObject(definition: ResourceDefinition): boolean {
  return answeredWithObject.has(groupResource(definition));
}

/** What a finished delete answers. */
function successStatus(definition: ResourceDefinition, name: string, uid: string): KubeObject {
  const { group } = definition;
  const status = {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name, ...(group === "" ? {} : { group }), kind: definition.plural, uid },
  };
  return status as unknown as KubeObject;
}
