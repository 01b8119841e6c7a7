/** PodTolerationRestriction: namespaces give pods tolerations, and say which they may have. */
import { namespaces } from "../../client/resources.ts";
import type { Pod, Toleration } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { isBestEffort } from "../../schema/pod-resources.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { checkType, knownMembers, listAt, recordAt } from "../config-reader.ts";
import { notFound } from "../errors.ts";
import { lookUp } from "./look-up.ts";

type ReadToleration = DeepReadonly<Toleration>;

const prefix = "scheduler.alpha.kubernetes.io/";

interface Settings {
  readonly given: readonly ReadToleration[];
  readonly allowed: readonly ReadToleration[];
}

function readSettings(value: unknown): Settings {
  if (value === undefined) return { given: [], allowed: [] };
  const config = recordAt(value, "");
  checkType(config, ["podtolerationrestriction.admission.k8s.io/v1alpha1"], "Configuration");
  knownMembers(config, "", ["apiVersion", "kind", "default", "whitelist"]);
  const read = (key: string): readonly ReadToleration[] =>
    listAt(config[key], key).map((one, index) => recordAt(one, `${key}[${index}]`));
  return { given: read("default"), allowed: read("whitelist") };
}

/** True when whatever `narrow` tolerates `wide` does too. */
function covers(wide: ReadToleration, narrow: ReadToleration): boolean {
  if (semanticEqual(wide, narrow)) return true;
  const isForAllKeys = !wide.key && wide.operator === "Exists";
  if ((wide.key ?? "") !== (narrow.key ?? "") && !isForAllKeys) return false;
  if (wide.effect && wide.effect !== narrow.effect) return false;
  if (wide.effect === "NoExecute" && wide.tolerationSeconds !== undefined) {
    const seconds = narrow.tolerationSeconds;
    if (seconds === undefined || seconds > wide.tolerationSeconds) return false;
  }
  if (wide.operator === "Exists") return true;
  return narrow.operator === "Equal" && (narrow.value ?? "") === (wide.value ?? "");
}

/** Without those that another covers; of equal ones the first stays. */
function merged(all: readonly Toleration[]): Toleration[] {
  const kept: Toleration[] = [];
  all.forEach((one, index) => {
    if (kept.some((other) => covers(other, one))) return;
    const later = all.slice(index + 1).filter((other) => !semanticEqual(one, other));
    if (!later.some((other) => covers(other, one))) kept.push(one);
  });
  return kept;
}

/** What an annotation of the namespace says; undefined where it says nothing. */
async function ofNamespace(
  context: AdmissionContext,
  name: "defaultTolerations" | "tolerationsWhitelist",
): Promise<readonly ReadToleration[] | undefined> {
  const namespace = await lookUp(context.live, namespaces, "", context.namespace);
  if (namespace === undefined) throw notFound(namespaces, context.namespace);
  const text = namespace.metadata.annotations?.[prefix + name];
  if (text === undefined) return undefined;
  try {
    return text === "" ? [] : (JSON.parse(text) as readonly ReadToleration[]);
  } catch (cause) {
    throw new ApiError("InternalError", String(cause), { cause });
  }
}

function isWrittenPod({ definition, subresource, verb }: AdmissionContext): boolean {
  const isPod = definition.group === "" && definition.plural === "pods";
  return isPod && subresource === "" && (verb === "CREATE" || verb === "UPDATE");
}

const memoryPressure = {
  key: "node.kubernetes.io/memory-pressure",
  operator: "Exists",
  effect: "NoSchedule",
} as const;

function withSettings({ given, allowed }: Settings): AdmissionPlugin {
  return {
    name: "PodTolerationRestriction",
    configured: async (config) => withSettings(readSettings(config)),
    async mutate(object, context) {
      if (!isWrittenPod(context)) return;
      const pod = object as Pod;
      const isNew = context.verb === "CREATE";
      const own = isNew ? ((await ofNamespace(context, "defaultTolerations")) ?? given) : [];
      const more = isBestEffort(pod) ? own : [...own, memoryPressure];
      if (more.length === 0) return;
      pod.spec.tolerations = merged([...(pod.spec.tolerations ?? []), ...more]);
    },
    async validate(object, context) {
      if (!isWrittenPod(context)) return;
      const { tolerations = [] } = (object as DeepReadonly<Pod>).spec;
      if (tolerations.length === 0) return;
      const own = await ofNamespace(context, "tolerationsWhitelist");
      const list = own ?? allowed;
      const isAllowed = tolerations.every((one) => list.some((wide) => covers(wide, one)));
      if (list.length === 0 || isAllowed) return;
      const what = "pod tolerations (possibly merged with namespace default tolerations)";
      const scope = own === undefined ? "cluster" : "namespace";
      throw new ApiError("InternalError", `${what} conflict with its ${scope} whitelist`);
    },
  };
}

export const podTolerationRestriction = withSettings({ given: [], allowed: [] });
