/** PodSecurity: namespaces hold pods to a level of the Pod Security Standards. */
import { namespaces, pods } from "../../../client/resources.ts";
import type { Namespace, Pod, PodTemplateSpec } from "../../../gen/core-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { semanticEqual } from "../../../lib/semantic-equal.ts";
import type { KubeObject } from "../../../schema/object.ts";
import type { AdmissionContext, AdmissionPlugin } from "../../admission-plugin.ts";
import { groupResource, invalid, refused } from "../../errors.ts";
import { everyOf, lookUp } from "../look-up.ts";
import type { ReadPod } from "./check.ts";
import { type PodSecuritySettings, readPodSecurity } from "./config.ts";
import { levelText, type Policy, policyOf, violations, violationsText } from "./levels.ts";

const annotationPrefix = "pod-security.kubernetes.io/";
const limits = { podsCheckedMax: 3000 } as const;

function withSettings(settings: PodSecuritySettings): AdmissionPlugin {
  return {
    name: "PodSecurity",
    configured: async (config) => withSettings(readPodSecurity(config)),
    async validate(object, context) {
      const { verb, subresource, definition } = context;
      if (verb !== "CREATE" && verb !== "UPDATE") return;
      const what = groupResource(definition);
      if (what === "namespaces") {
        if (subresource === "")
          await checkNamespace(object as DeepReadonly<Namespace>, context, settings);
        return;
      }
      const judged = judgedPod(object, what, context);
      if (judged === undefined) return;
      const exempt = exemptionOf(settings, context, judged.spec.runtimeClassName);
      if (exempt !== undefined) {
        context.annotate(`${annotationPrefix}exempt`, exempt);
        return;
      }
      const policy = await policyFor(context, settings);
      if (what === "pods") checkPod(judged, policy, context);
      else checkTemplate(judged, policy, context);
    },
  };
}

export const podSecurity = withSettings(readPodSecurity(undefined));

/** The pod, or the pod of a template, that a write is about. */
function judgedPod(
  object: DeepReadonly<KubeObject>,
  what: string,
  context: AdmissionContext,
): ReadPod | undefined {
  if (what === "pods") {
    const pod = object as DeepReadonly<Pod> as ReadPod;
    return isWorthChecking(pod, context) ? pod : undefined;
  }
  const template = context.subresource === "" ? templateOf(object, what) : undefined;
  if (template?.spec === undefined) return undefined;
  return { metadata: template.metadata ?? {}, spec: template.spec };
}

/** Why nothing is checked. */
function exemptionOf(
  { exemptions }: PodSecuritySettings,
  { namespace, request }: AdmissionContext,
  runtimeClass: string | undefined,
): string | undefined {
  if (exemptions.namespaces.includes(namespace)) return "namespace";
  if (exemptions.usernames.includes(request.user.name)) return "user";
  return exemptions.runtimeClasses.includes(runtimeClass ?? "") ? "runtimeClass" : undefined;
}

function checkTemplate(pod: ReadPod, policy: Policy, context: AdmissionContext): void {
  const audited = violations(pod, policy.audit);
  if (audited.length > 0) noteViolations(policy, audited, context);
  warnAbout(pod, policy, context);
}

/** A change that no rule looks at needs no second judgement. */
function isWorthChecking(pod: ReadPod, { verb, subresource, old }: AdmissionContext): boolean {
  if (subresource !== "" && subresource !== "ephemeralcontainers") return false;
  if (verb === "CREATE") return true;
  const before = old as DeepReadonly<Pod>;
  return !(
    semanticEqual(pod.spec, before.spec) &&
    semanticEqual(pod.metadata.annotations, before.metadata.annotations)
  );
}

async function policyFor(
  { live, namespace }: AdmissionContext,
  { defaults }: PodSecuritySettings,
): Promise<Policy> {
  const found = await lookUp(live, namespaces, "", namespace);
  return policyOf(found?.metadata.labels, defaults).policy;
}

function checkPod(pod: ReadPod, policy: Policy, context: AdmissionContext): void {
  context.annotate(`${annotationPrefix}enforce-policy`, levelText(policy.enforce));
  const found = violations(pod, policy.enforce);
  const audited = violations(pod, policy.audit);
  if (audited.length > 0) noteViolations(policy, audited, context);
  if (found.length > 0) {
    const level = JSON.stringify(levelText(policy.enforce));
    throw refused(
      context.definition,
      context.name,
      `violates PodSecurity ${level}: ${violationsText(found)}`,
    );
  }
  warnAbout(pod, policy, context);
}

function noteViolations(
  { audit }: Policy,
  found: ReturnType<typeof violations>,
  context: AdmissionContext,
): void {
  const text = `would violate PodSecurity "${levelText(audit)}": ${violationsText(found)}`;
  context.annotate(`${annotationPrefix}audit-violations`, text);
}

function warnAbout(pod: ReadPod, { warn }: Policy, context: AdmissionContext): void {
  const found = violations(pod, warn);
  if (found.length === 0) return;
  context.warn(`would violate PodSecurity "${levelText(warn)}": ${violationsText(found)}`);
}

/** Kinds that make pods: their templates are only warned about. */
const templates: ReadonlySet<string> = new Set([
  "podtemplates",
  "replicationcontrollers",
  "replicasets.apps",
  "deployments.apps",
  "statefulsets.apps",
  "daemonsets.apps",
  "jobs.batch",
  "cronjobs.batch",
]);

function templateOf(
  object: DeepReadonly<KubeObject>,
  what: string,
): DeepReadonly<PodTemplateSpec> | undefined {
  if (!templates.has(what)) return undefined;
  const parts = object as unknown as {
    readonly template?: DeepReadonly<PodTemplateSpec>;
    readonly spec?: {
      readonly template?: DeepReadonly<PodTemplateSpec>;
      readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplateSpec } };
    };
  };
  if (what === "podtemplates") return parts.template;
  return parts.spec?.template ?? parts.spec?.jobTemplate?.spec?.template;
}

async function checkNamespace(
  namespace: DeepReadonly<Namespace>,
  context: AdmissionContext,
  { defaults, exemptions }: PodSecuritySettings,
): Promise<void> {
  const { policy, problems } = policyOf(namespace.metadata.labels, defaults);
  const old =
    context.old === undefined ? undefined : policyOf(context.old.metadata.labels, defaults);
  // What was wrong before does not hinder other changes.
  if (problems.length > 0 && (old === undefined || old.problems.length === 0)) {
    throw invalid(
      context.definition,
      context.name,
      problems.map(({ label, value, detail }) => ({
        type: "FieldValueInvalid",
        field: `metadata.labels[${label}]`,
        value,
        detail,
      })),
    );
  }
  if (old === undefined || semanticEqual(old.policy.enforce, policy.enforce)) return;
  if (policy.enforce.level === "privileged") return;
  if (exemptions.namespaces.includes(context.name)) return;
  await warnOfExisting(policy, context);
}

/** Pods that run already stay; who tightens the level is told which would not be let in. */
async function warnOfExisting({ enforce }: Policy, context: AdmissionContext): Promise<void> {
  const all = await everyOf(context.live, pods, context.name);
  const groups = new Map<string, string[]>();
  for (const pod of all.slice(0, limits.podsCheckedMax)) {
    const reasons = violations(pod as ReadPod, enforce).map(({ reason }) => reason);
    if (reasons.length === 0) continue;
    const key = reasons.join(", ");
    groups.set(key, [...(groups.get(key) ?? []), pod.metadata.name ?? ""]);
  }
  if (groups.size === 0) return;
  context.warn(
    `existing pods in namespace "${context.name}" violate the new PodSecurity enforce level ` +
      `"${levelText(enforce)}"`,
  );
  for (const [reasons, names] of groups) {
    const [first = "", ...others] = names.sort();
    const noun = others.length === 1 ? "other pod" : "other pods";
    const more = others.length === 0 ? "" : ` (and ${others.length} ${noun})`;
    context.warn(`${first}${more}: ${reasons}`);
  }
}
