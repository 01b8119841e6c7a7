/** Admission by webhooks: those that change objects, one by one, and those that refuse. */
import {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
} from "../../client/resources.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { Turn } from "../../lib/turns.ts";
import { copyJson, replaceMembers } from "../../schema/copy.ts";
import type { KubeObject } from "../../schema/object.ts";
import { sameJson } from "../../schema/same-json.ts";
import { everyOf } from "../admission/look-up.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { applyJsonPatch } from "../json-patch.ts";
import type { ResourceDefinition } from "../resource-definition.ts";
import { ask, failed } from "./dispatch.ts";
import { matchedDefinition, matchesNamespace, matchesObject, type Webhook } from "./match.ts";
import type { Verdict } from "./review.ts";
import { converted, type Shown, shown } from "./shown.ts";

type Seen = DeepReadonly<KubeObject>;

interface Configuration {
  readonly metadata: { readonly name?: string | undefined };
  readonly webhooks?: readonly Webhook[] | undefined;
}
interface Named {
  /** Tells apart webhooks of one name in different configurations. */
  readonly id: string;
  readonly configuration: string;
  readonly webhook: Webhook;
}

/** Webhooks cannot keep anybody from mending the webhooks. */
const exempt: ReadonlySet<string> = new Set([
  "mutatingwebhookconfigurations",
  "validatingwebhookconfigurations",
  "mutatingadmissionpolicies",
  "mutatingadmissionpolicybindings",
  "validatingadmissionpolicies",
  "validatingadmissionpolicybindings",
]);
/** Reviews of access that a webhook's own server needs. */
const unreviewed: ReadonlySet<string> = new Set(["authentication.k8s.io", "authorization.k8s.io"]);

/** In the order of the configurations' names, then as listed. */
function listed(configurations: readonly Configuration[]): readonly Named[] {
  return configurations.flatMap(({ metadata, webhooks = [] }) =>
    webhooks.map((webhook, index) => ({
      id: `${metadata.name}/${index}/${webhook.name}`,
      configuration: metadata.name ?? "",
      webhook,
    })),
  );
}

function isExempt({ definition }: AdmissionContext): boolean {
  if (definition.group === "admissionregistration.k8s.io") return exempt.has(definition.plural);
  return unreviewed.has(definition.group);
}

/** The version in which the webhook wants to be asked, or undefined when it does not. */
async function wanted(
  webhook: Webhook,
  object: Seen,
  context: AdmissionContext,
): Promise<ResourceDefinition | undefined> {
  const definition = matchedDefinition(webhook.rules ?? [], webhook.matchPolicy, context);
  if (definition === undefined) return undefined;
  if (!(await matchesNamespace(webhook.namespaceSelector, object, context))) return undefined;
  const { old, verb } = context;
  if (verb === "CONNECT") {
    if (!matchesObject(webhook.objectSelector, undefined, undefined)) return undefined;
  } else if (!matchesObject(webhook.objectSelector, object, old)) return undefined;
  return definition;
}

/** Whether the webhook's own conditions hold; one that fails counts by the failure policy. */
async function passes(
  webhook: Webhook,
  request: Shown,
  context: AdmissionContext,
): Promise<boolean> {
  const conditions = webhook.matchConditions ?? [];
  if (conditions.length === 0) return true;
  // CEL is only loaded where somebody uses it.
  const cel = await import("../cel/admission-cel.ts");
  const bindings = cel.requestBindings(request, request.definition, context);
  const outcome = await cel.matchConditions(
    cel.webhookExpressions,
    conditions,
    bindings,
    new Turn(context.runtime.clock),
  );
  if (outcome.type !== "error") return outcome.type === "match";
  if (webhook.failurePolicy === "Ignore") return false;
  throw refused(context.definition, context.name, outcome.error.message);
}

function refuse({ name }: Webhook, { code, message, reason }: Verdict): ApiError {
  const by = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why =
    message !== "" ? `: ${message}` : reason !== "" ? `: ${reason}` : " without explanation";
  return new ApiError(reason as ApiError["reason"], `${by}${why}`, {
    code: code < 400 ? 400 : code,
  });
}

export const mutatingWebhooks: AdmissionPlugin = {
  name: "MutatingAdmissionWebhook",
  async mutate(object, context) {
    const all = listed(await everyOf(context.live, mutatingWebhookConfigurations));
    if (all.length === 0 || isExempt(context)) return;
    const { reinvocation } = context;
    const { isSecond } = reinvocation;
    const changedBetween = isSecond && !sameJson(object, reinvocation.left);
    const again = new Set(changedBetween ? reinvocation.eligible : reinvocation.due);
    reinvocation.due.clear();
    for (const [index, { id, configuration, webhook }] of all.entries()) {
      if (isSecond && !again.has(id)) continue;
      const note = mutationNote(configuration, webhook, index, context);
      if (await mutateBy(webhook, object, context, note)) {
        // Those asked before have not seen this.
        for (const earlier of reinvocation.eligible) reinvocation.due.add(earlier);
        reinvocation.isWanted = true;
      }
      const { reinvocationPolicy } = webhook as { readonly reinvocationPolicy?: string };
      if (reinvocationPolicy === "IfNeeded") reinvocation.eligible.add(id);
    }
    reinvocation.left = copyJson<KubeObject>(object);
  },
};

/** True when the webhook changed the object. */
async function mutateBy(
  webhook: Webhook,
  object: KubeObject,
  context: AdmissionContext,
  note: MutationNote,
): Promise<boolean> {
  const definition = await wanted(webhook, object, context);
  if (definition === undefined) return false;
  const request = await shown(object, context, definition);
  if (!(await passes(webhook, request, context))) return false;
  let isChanged = false;
  try {
    const verdict = await ask(webhook, request, context, {
      type: "admit",
      failedOpen: note.failedOpen,
    });
    if (verdict === undefined) return false;
    takeNotes(webhook, verdict, context);
    if (!verdict.allowed) throw refuse(webhook, verdict);
    const isFixed = context.verb === "DELETE" || context.verb === "CONNECT";
    if (verdict.patch === undefined || isFixed) return false;
    isChanged = await patchObject(webhook, verdict.patch, { object, request, context });
    note.patched(verdict.patch);
    return isChanged;
  } finally {
    note.mutated(isChanged);
  }
}

/** True when the patch made a difference. */
async function patchObject(
  webhook: Webhook,
  patch: readonly unknown[],
  of: {
    readonly object: KubeObject;
    readonly request: Shown;
    readonly context: AdmissionContext;
  },
): Promise<boolean> {
  const { object, request, context } = of;
  try {
    const patched = applyJsonPatch(patch, copyJson(request.object));
    const next = await converted(patched as KubeObject, request.definition, context.definition);
    const before = copyJson<KubeObject>(object);
    replaceMembers(object, copyJson<KubeObject>(next));
    context.normalize(object);
    return !sameJson(before, object);
  } catch (error) {
    failed(webhook, error, context);
    return false;
  }
}

function takeNotes({ name }: Webhook, verdict: Verdict, context: AdmissionContext): void {
  for (const warning of verdict.warnings) context.warn(warning);
  for (const [key, value] of Object.entries(verdict.auditAnnotations)) {
    if (typeof value === "string") context.annotate(`${name}/${key}`, value);
  }
}

/** What the record of a request tells of one webhook that may change its object. */
interface MutationNote {
  mutated(isMutated: boolean): void;
  patched(patch: readonly unknown[]): void;
  failedOpen(): void;
}

function mutationNote(
  configuration: string,
  { name: webhook }: Webhook,
  index: number,
  context: AdmissionContext,
): MutationNote {
  const place = `round_${context.reinvocation.isSecond ? 1 : 0}_index_${index}`;
  const key = `mutation.webhook.admission.k8s.io/${place}`;
  return {
    mutated: (mutated) =>
      context.annotate(key, JSON.stringify({ configuration, webhook, mutated })),
    patched: (patch) => {
      const value = JSON.stringify({ configuration, webhook, patch, patchType: "JSONPatch" });
      context.annotate(`patch.webhook.admission.k8s.io/${place}`, value, "Request");
    },
    failedOpen: () => context.annotate(`failed-open.${key}`, webhook),
  };
}

export const validatingWebhooks: AdmissionPlugin = {
  name: "ValidatingAdmissionWebhook",
  async validate(object, context) {
    const all = listed(await everyOf(context.live, validatingWebhookConfigurations));
    if (all.length === 0 || isExempt(context)) return;
    const relevant: { readonly webhook: Webhook; readonly request: Shown }[] = [];
    for (const { webhook } of all) {
      const definition = await wanted(webhook, object, context);
      if (definition === undefined) continue;
      const request = await shown(object, context, definition);
      if (await passes(webhook, request, context)) relevant.push({ webhook, request });
    }
    const answers = await Promise.allSettled(
      relevant.map(async ({ webhook, request }, index) => {
        const failedOpen = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`;
        const verdict = await ask(webhook, request, context, {
          type: "validating",
          failedOpen: () => context.annotate(failedOpen, webhook.name),
        });
        if (verdict === undefined) return;
        takeNotes(webhook, verdict, context);
        if (!verdict.allowed) throw refuse(webhook, verdict);
      }),
    );
    const refused = answers.find((answer) => answer.status === "rejected");
    if (refused !== undefined) throw refused.reason;
  },
};
