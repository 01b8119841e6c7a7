/** AdmissionReview: what a webhook is asked, and what it answers (admission.k8s.io/v1). */

import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { parseExact } from "../../lib/exact-json.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { AdmissionContext } from "../admission-plugin.ts";
import type { ResourceDefinition } from "../resource-definition.ts";

/** The two versions of AdmissionReview; they differ in nothing but the name. */
export const reviewVersions = ["v1", "v1beta1"] as const;
export type ReviewVersion = (typeof reviewVersions)[number];

/** What a webhook answered is of no use; the text may hold parts of the answer. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";
}

export interface ReviewRequest {
  readonly uid: string;
  readonly version: ReviewVersion;
  /** The version of the resource in which the webhook is asked. */
  readonly definition: ResourceDefinition;
  readonly object: DeepReadonly<KubeObject> | null;
  readonly oldObject: DeepReadonly<KubeObject> | null;
}

export interface Verdict {
  readonly allowed: boolean;
  readonly code: number;
  readonly message: string;
  readonly reason: string;
  readonly warnings: readonly string[];
  /** For the record of the request, without the webhook's name in front. */
  readonly auditAnnotations: Readonly<Record<string, string>>;
  /** A JSON patch; undefined when the webhook leaves the object alone. */
  readonly patch: readonly unknown[] | undefined;
}

export function reviewBody(ask: ReviewRequest, context: AdmissionContext): string {
  const { uid, object, oldObject, version } = ask;
  return JSON.stringify({
    kind: "AdmissionReview",
    apiVersion: `admission.k8s.io/${version}`,
    request: { uid, ...requestPart(ask, context), object, oldObject },
  });
}

/** An AdmissionRequest without its uid and objects: what CEL calls `request`. */
export function requestPart(
  ask: Pick<ReviewRequest, "definition" | "object" | "oldObject">,
  context: AdmissionContext,
) {
  const { request, verb, subresource, namespace, name, dryRun } = context;
  const { uid, groups, extra } = request.user;
  const shown = ask.object ?? ask.oldObject;
  return {
    kind: kindOf(shown, ask.definition, subresource),
    resource: resourceOf(ask.definition),
    ...(subresource === "" ? {} : { subResource: subresource }),
    requestKind: kindOf(shown, context.definition, subresource),
    requestResource: resourceOf(context.definition),
    ...(subresource === "" ? {} : { requestSubResource: subresource }),
    ...(name === "" ? {} : { name }),
    ...(namespace === "" ? {} : { namespace }),
    operation: verb,
    userInfo: {
      username: request.user.name,
      ...(uid === "" ? {} : { uid }),
      groups,
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    },
    dryRun,
    options: optionsOf(context),
  };
}

function resourceOf({ group, version, plural }: ResourceDefinition) {
  return { group, version, resource: plural };
}

/** A subresource may have a kind of its own: an Eviction is posted to pods/eviction. */
function kindOf(
  object: DeepReadonly<KubeObject> | null,
  { group, version, kind }: ResourceDefinition,
  subresource: string,
) {
  if (subresource === "" || !object?.kind || object.kind === kind) return { group, version, kind };
  const [first = "", second] = (object.apiVersion ?? "").split("/");
  return second === undefined
    ? { group: "", version: first, kind: object.kind }
    : { group: first, version: second, kind: object.kind };
}

const optionKinds = {
  CREATE: "CreateOptions",
  UPDATE: "UpdateOptions",
  DELETE: "DeleteOptions",
} as const;

function optionsOf({ verb, request, dryRun }: AdmissionContext): object | null {
  if (verb === "CONNECT") return null;
  const kind = request.verb === "patch" ? "PatchOptions" : optionKinds[verb];
  const text = (name: string) => {
    const value = request.query.get(name);
    return value === null || verb === "DELETE" ? {} : { [name]: value };
  };
  return {
    kind,
    apiVersion: "meta.k8s.io/v1",
    ...(dryRun ? { dryRun: ["All"] } : {}),
    ...text("fieldManager"),
    ...text("fieldValidation"),
  };
}

/**
 * Reads a webhook's answer.
 *
 * @throws Error in upstream's words when it is no answer to `ask`.
 */
export function readVerdict(text: string, ask: Pick<ReviewRequest, "uid" | "version">): Verdict {
  const review = parse(text);
  const { kind, apiVersion, response } = review;
  const wanted = `admission.k8s.io/${ask.version}`;
  if (kind !== "AdmissionReview" || apiVersion !== wanted) {
    const [expected, got] = [`${wanted}, Kind=AdmissionReview`, `${apiVersion}, Kind=${kind}`];
    throw new AnswerError(`expected webhook response of ${expected}, got ${got}`);
  }
  if (response === undefined || response === null) {
    throw new AnswerError("webhook response was absent");
  }
  if (response.uid !== ask.uid) {
    throw new AnswerError(
      `expected response.uid=${quote(ask.uid)}, got ${quote(response.uid ?? "")}`,
    );
  }
  const { code = 0, message = "", reason = "" } = response.status ?? {};
  return {
    allowed: response.allowed === true,
    code,
    message,
    reason,
    warnings: response.warnings ?? [],
    auditAnnotations: response.auditAnnotations ?? {},
    patch: patchOf(response),
  };
}

interface Answer {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly response?: {
    readonly uid?: string;
    readonly allowed?: boolean;
    readonly status?: {
      readonly code?: number;
      readonly message?: string;
      readonly reason?: string;
    };
    readonly warnings?: readonly string[];
    readonly auditAnnotations?: Readonly<Record<string, string>> | null;
    readonly patch?: string;
    readonly patchType?: string;
  } | null;
}

function parse(text: string): Answer {
  let value: unknown;
  try {
    value = parseExact(text);
  } catch (error) {
    throw new AnswerError("couldn't get version/kind; json parse error", { cause: error });
  }
  if (typeof value === "object" && value !== null) return value as Answer;
  throw new AnswerError("webhook response was no object");
}

function patchOf({ patch, patchType }: NonNullable<Answer["response"]>): Verdict["patch"] {
  if (patch === undefined || patch === "") {
    if (patchType === undefined) return undefined;
    throw new AnswerError("webhook returned response.patchType but not response.patch");
  }
  if (patchType === undefined) {
    throw new AnswerError("webhook returned response.patch but not response.patchType");
  }
  if (patchType !== "JSONPatch") {
    throw new AnswerError(`webhook returned invalid response.patchType of ${quote(patchType)}`);
  }
  const operations: unknown = parseExact(Buffer.from(patch, "base64").toString("utf8"));
  if (!Array.isArray(operations)) throw new AnswerError("webhook returned a patch that is no list");
  return operations.length === 0 ? undefined : operations;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
