/** Runs the admission chain: all mutating halves in order, then all validating halves. */
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { atomicParts } from "../schema/atomic-parts.ts";
import type { MergeType } from "../schema/merge-type.ts";
import type { KubeObject } from "../schema/object.ts";
import { mergeValues } from "../schema/typed-merge.ts";
import { problemsText, validateValue } from "../schema/typed-validate.ts";
import type { AdmissionWork } from "./admission-metrics.ts";
import type {
  AdmissionContext,
  AdmissionPlugin,
  AdmissionVerb,
  Reinvocation,
} from "./admission-plugin.ts";
import { normalizeObject } from "./body.ts";
import type { Call } from "./call.ts";

type Stored = DeepReadonly<KubeObject> | undefined;

/** Names from outside make keys; those that are no qualified names are left out. */
const annotationKey = /^[a-z0-9][-a-z0-9.]{0,252}\/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

function firstRun(): Reinvocation {
  return {
    isSecond: false,
    isWanted: false,
    eligible: new Set(),
    due: new Set(),
    left: undefined,
  };
}

export async function admitMutating(
  call: Call,
  verb: AdmissionVerb,
  object: KubeObject,
  old: Stored,
): Promise<void> {
  const first = firstRun();
  for (const isSecond of [false, true]) {
    if (isSecond && !first.isWanted) return;
    const context = contextOf(call, verb, object, old, Object.assign(first, { isSecond }));
    await inSteps(call, { type: "admit", operation: verb }, (plugin) =>
      plugin.mutate?.(object, context),
    );
  }
}

export async function admitValidating(
  call: Call,
  verb: AdmissionVerb,
  object: DeepReadonly<KubeObject>,
  old: Stored,
): Promise<void> {
  const context = contextOf(call, verb, object, old, firstRun());
  await inSteps(call, { type: "validate", operation: verb }, (plugin) =>
    plugin.validate?.(object, context),
  );
}

/** One plugin after the other; what has no half of the kind is not counted. */
async function inSteps(
  { parts }: Call,
  step: Pick<AdmissionWork, "type" | "operation">,
  run: (plugin: AdmissionPlugin) => Promise<void> | undefined,
): Promise<void> {
  const { admission, admissionMetrics } = parts;
  const half = step.type === "admit" ? "mutate" : "validate";
  if (admissionMetrics === undefined) {
    for (const plugin of admission) await run(plugin);
    return;
  }
  await admissionMetrics.timed({ of: "step", ...step }, async () => {
    for (const plugin of admission) {
      if (plugin[half] === undefined) continue;
      const work = { of: "controller", name: plugin.name, ...step } as const;
      await admissionMetrics.timed(work, async () => run(plugin));
    }
  });
}

function contextOf(
  call: Call,
  verb: AdmissionVerb,
  object: DeepReadonly<KubeObject>,
  old: Stored,
  reinvocation: Reinvocation,
): AdmissionContext {
  const { request, definition, parts, warnings } = call;
  return {
    request,
    definition,
    old,
    verb,
    subresource: request.subresource,
    namespace: definition.namespaced ? (object.metadata.namespace ?? request.namespace) : "",
    name: object.metadata.name ?? request.name,
    dryRun: call.dryRun,
    live: parts.live,
    client: parts.client,
    runtime: parts.runtime,
    registry: parts.registry,
    authorizer: parts.authorizer,
    metrics: parts.admissionMetrics,
    reinvocation,
    merge: (live, change) => mergedBy(parts.codec.mergeType(definition), live, change),
    normalize: (changed) => {
      // A Scale is not of the definition's own type, and has no defaults.
      if (request.subresource !== "scale") normalizeObject(call, changed);
    },
    warn: (message) => void warnings.push(message),
    annotate: (key, value, level) => {
      if (annotationKey.test(key)) request.audit?.annotate(key, value, level);
    },
  };
}

/** @throws Error for a configuration that does not fit the type, or changes parts of a unit. */
function mergedBy(type: MergeType, live: unknown, change: unknown): unknown {
  const problems = validateValue(type, change);
  if (problems.length > 0) {
    const text = problemsText(problems);
    throw new Error(`failed to convert patch object to typed object: ${text}`);
  }
  const units = atomicParts(type, change);
  if (units.length > 0) {
    const why = `may not mutate atomic arrays, maps or structs: ${units.join(", ")}`;
    throw new Error(`invalid ApplyConfiguration: ${why}`);
  }
  return mergeValues(type, live, change);
}
