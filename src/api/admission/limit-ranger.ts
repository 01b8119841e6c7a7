/** LimitRanger: fills requests and limits of containers in, and refuses what is out of range. */
import { limitRanges } from "../../client/resources.ts";
import type {
  Container,
  LimitRangeItem,
  PersistentVolumeClaim,
  Pod,
  ResourceRequirements,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { podLimits, podRequests } from "../../schema/pod-resources.ts";
import type { AdmissionContext, AdmissionPlugin } from "../admission-plugin.ts";
import { refused } from "../errors.ts";
import { type Amounts, claimProblems, rangeProblems } from "./limit-problems.ts";
import { everyOf } from "./look-up.ts";

type Item = DeepReadonly<LimitRangeItem>;

const annotation = "kubernetes.io/limit-ranger";

function creates(context: AdmissionContext, plural: string): boolean {
  const { definition, verb, subresource } = context;
  return (
    definition.group === "" &&
    definition.plural === plural &&
    verb === "CREATE" &&
    subresource === ""
  );
}

async function itemsIn({ live, namespace }: AdmissionContext): Promise<readonly Item[]> {
  const ranges = await everyOf(live, limitRanges, namespace);
  return ranges.flatMap(({ spec }) => spec?.limits ?? []);
}

export const limitRanger: AdmissionPlugin = {
  name: "LimitRanger",
  async mutate(object, context) {
    if (!creates(context, "pods")) return;
    const pod = object as Pod;
    const set: string[] = [];
    for (const item of await itemsIn(context)) {
      if (item.type === "Container") set.push(...fillIn(pod, item));
    }
    if (set.length === 0) return;
    pod.metadata.annotations = {
      ...pod.metadata.annotations,
      [annotation]: `LimitRanger plugin set: ${set.join("; ")}`,
    };
  },
  async validate(object, context) {
    const { definition, verb, subresource } = context;
    const problems: string[] = [];
    if (creates(context, "pods") || isResize(context)) {
      for (const item of await itemsIn(context)) {
        problems.push(...podProblems(object as DeepReadonly<Pod>, item));
      }
    } else if (
      definition.group === "" &&
      definition.plural === "persistentvolumeclaims" &&
      (verb === "CREATE" || verb === "UPDATE") &&
      subresource === ""
    ) {
      const { spec } = object as DeepReadonly<PersistentVolumeClaim>;
      for (const item of await itemsIn(context)) {
        if (item.type === "PersistentVolumeClaim") {
          problems.push(...claimProblems(item, spec.resources?.requests ?? {}));
        }
      }
    }
    if (problems.length === 0) return;
    const why = problems.length === 1 ? (problems[0] ?? "") : `[${problems.join(", ")}]`;
    throw refused(definition, context.name, why);
  },
};

function isResize({ definition, verb, subresource }: AdmissionContext): boolean {
  const isPods = definition.group === "" && definition.plural === "pods";
  return isPods && verb === "UPDATE" && subresource === "resize";
}

/** Gives containers the defaults they lack; answers what was set, as the annotation tells it. */
function fillIn(pod: Pod, item: Item): readonly string[] {
  const fill = (container: Container, kind: string): string[] => {
    const resources: ResourceRequirements = container.resources ?? {};
    const told: string[] = [];
    for (const [field, word, defaults] of [
      ["requests", "request", item.defaultRequest],
      ["limits", "limit", item.default],
    ] as const) {
      const missing = Object.entries(defaults ?? {}).filter(
        ([name]) => resources[field]?.[name] === undefined,
      );
      if (missing.length === 0) continue;
      resources[field] = { ...resources[field], ...Object.fromEntries(missing) };
      const names = missing.map(([name]) => name).sort();
      told.push(`${names.join(", ")} ${word} for ${kind} ${container.name}`);
    }
    container.resources = resources;
    return told;
  };
  return [
    ...pod.spec.containers.flatMap((container) => fill(container, "container")),
    ...(pod.spec.initContainers ?? []).flatMap((one) => fill(one, "init container")),
  ];
}

function podProblems(pod: DeepReadonly<Pod>, item: Item): readonly string[] {
  switch (item.type) {
    case "Container":
      return [...(pod.spec.initContainers ?? []), ...pod.spec.containers].flatMap(({ resources }) =>
        rangeProblems(item, amountsOf(resources)),
      );
    case "Pod":
      return rangeProblems(item, { requests: podRequests(pod), limits: podLimits(pod) });
    default:
      return [];
  }
}

function amountsOf(resources: DeepReadonly<ResourceRequirements> | undefined): Amounts {
  return { requests: resources?.requests ?? {}, limits: resources?.limits ?? {} };
}
