/** Reads a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) into profiles. */
import type { NodeAffinity, TopologySpreadConstraint } from "../gen/core-v1.ts";
import { type Fields, fail, fieldsOf, listOf, numberOf, textOf } from "./config-fields.ts";
import { type DecodedExtender, decodeExtenders } from "./extender-config.ts";
import {
  defaultProfile,
  type FilterName,
  type FitStrategy,
  filterNames,
  type Profile,
  type ResourceWeight,
  type ScoreName,
  scoreNames,
} from "./profile.ts";
import type { SchedulerOptions } from "./scheduler.ts";

const apiVersion = "kubescheduler.config.k8s.io/v1";
const kind = "KubeSchedulerConfiguration";

/** Plugins without a filter or score of their own; they can be named, and some turned off. */
const otherPlugins = ["DefaultBinder", "DefaultPreemption", "PrioritySort", "SchedulingGates"];
const knownPlugins: ReadonlySet<string> = new Set([...filterNames, ...scoreNames, ...otherPlugins]);

export interface SchedulerConfig extends Required<Omit<SchedulerOptions, "extenders" | "metrics">> {
  readonly extenders: readonly DecodedExtender[];
}

/** Throws a SchedulerConfigError when the document cannot be used. */
export function decodeSchedulerConfig(document: unknown): SchedulerConfig {
  const fields = fieldsOf(document, "configuration");
  if (fields.apiVersion !== apiVersion) fail("apiVersion", `must be ${apiVersion}`);
  if (fields.kind !== kind) fail("kind", `must be ${kind}`);
  const percentage = numberOf(fields.percentageOfNodesToScore, "percentageOfNodesToScore", 0, 100);
  const initial = numberOf(fields.podInitialBackoffSeconds, "podInitialBackoffSeconds", 1);
  const most = numberOf(fields.podMaxBackoffSeconds, "podMaxBackoffSeconds", 10);
  if (most < initial)
    fail("podMaxBackoffSeconds", "must not be less than podInitialBackoffSeconds");
  const rows = listOf(fields.profiles, "profiles");
  const profiles = (rows.length === 0 ? [{}] : rows).map((row, index) =>
    decodeProfile(fieldsOf(row, `profiles[${index}]`), `profiles[${index}]`, percentage),
  );
  const names = new Set(profiles.map(({ schedulerName }) => schedulerName));
  if (names.size < profiles.length) fail("profiles", "two have the same schedulerName");
  const extenders = decodeExtenders(fields.extenders);
  const ignored = extenders.flatMap(({ ignoredResources }) => ignoredResources);
  return {
    profiles: profiles.map((profile) => ({
      ...profile,
      ignoredResources: new Set([...profile.ignoredResources, ...ignored]),
    })),
    backoff: { initialMs: initial * 1000, maxMs: most * 1000 },
    extenders,
  };
}

interface PluginSet {
  readonly enabled: readonly { readonly name: string; readonly weight: number }[];
  readonly disabled: ReadonlySet<string>;
}

function pluginSet(value: unknown, path: string): PluginSet {
  const { enabled, disabled } = fieldsOf(value, path);
  const nameOf = (item: unknown, at: string) => textOf(fieldsOf(item, at).name, `${at}.name`);
  return {
    enabled: listOf(enabled, `${path}.enabled`).map((item, index) => {
      const at = `${path}.enabled[${index}]`;
      const name = nameOf(item, at);
      if (!knownPlugins.has(name)) fail(at, `plugin ${JSON.stringify(name)} does not exist`);
      return { name, weight: numberOf(fieldsOf(item, at).weight, `${at}.weight`, 0) };
    }),
    disabled: new Set(
      listOf(disabled, `${path}.disabled`).map((item, index) =>
        nameOf(item, `${path}.disabled[${index}]`),
      ),
    ),
  };
}

function decodeProfile(fields: Fields, path: string, percentage: number): Profile {
  const plugins = fieldsOf(fields.plugins, `${path}.plugins`);
  const at = (point: string) => pluginSet(plugins[point], `${path}.plugins.${point}`);
  const all = at("multiPoint");
  const isOff = (set: PluginSet, name: string) => set.disabled.has(name) || set.disabled.has("*");
  const isOn = (set: PluginSet, name: string) => set.enabled.some((one) => one.name === name);
  const runs = (point: string, name: string) => {
    const set = at(point);
    if (isOn(set, name)) return true;
    if (isOff(set, name)) return false;
    return isOn(all, name) || !isOff(all, name);
  };
  const weightOf = (name: ScoreName) => {
    const given = [...at("score").enabled, ...all.enabled].find((one) => one.name === name);
    return given?.weight || (defaultProfile.weights[name] ?? 1);
  };
  const base: Profile = {
    ...defaultProfile,
    schedulerName:
      fields.schedulerName === undefined
        ? defaultProfile.schedulerName
        : textOf(fields.schedulerName, `${path}.schedulerName`),
    percentageOfNodesToScore: numberOf(
      fields.percentageOfNodesToScore,
      `${path}.percentageOfNodesToScore`,
      percentage,
      100,
    ),
    filters: new Set<FilterName>(filterNames.filter((name) => runs("filter", name))),
    weights: Object.fromEntries(
      scoreNames.filter((name) => runs("score", name)).map((name) => [name, weightOf(name)]),
    ),
    preempts: runs("postFilter", "DefaultPreemption"),
  };
  return withArguments(base, fields.pluginConfig, `${path}.pluginConfig`);
}

type Arguments = (args: Fields, path: string, profile: Profile) => Partial<Profile>;

const argumentsOf: Readonly<Record<string, Arguments>> = {
  DefaultPreemption: (args, path) => ({
    minCandidateNodesPercentage: numberOf(
      args.minCandidateNodesPercentage,
      `${path}.minCandidateNodesPercentage`,
      defaultProfile.minCandidateNodesPercentage,
      100,
    ),
    minCandidateNodesAbsolute: numberOf(
      args.minCandidateNodesAbsolute,
      `${path}.minCandidateNodesAbsolute`,
      defaultProfile.minCandidateNodesAbsolute,
    ),
  }),
  InterPodAffinity: (args, path) => ({
    hardPodAffinityWeight: numberOf(
      args.hardPodAffinityWeight,
      `${path}.hardPodAffinityWeight`,
      defaultProfile.hardPodAffinityWeight,
      100,
    ),
    ignorePreferredTermsOfExistingPods: args.ignorePreferredTermsOfExistingPods === true,
  }),
  NodeAffinity: (args, path) => ({
    addedAffinity:
      args.addedAffinity === undefined
        ? undefined
        : (fieldsOf(args.addedAffinity, `${path}.addedAffinity`) as NodeAffinity),
  }),
  NodeResourcesBalancedAllocation: (args, path) => ({
    balancedResources: weights(args.resources, `${path}.resources`),
  }),
  NodeResourcesFit: (args, path) => ({
    ignoredResources: names(args.ignoredResources, `${path}.ignoredResources`),
    ignoredResourceGroups: names(args.ignoredResourceGroups, `${path}.ignoredResourceGroups`),
    fit: strategy(fieldsOf(args.scoringStrategy, `${path}.scoringStrategy`), path),
  }),
  PodTopologySpread: (args, path) => {
    const defaulting = args.defaultingType ?? "System";
    if (defaulting !== "List") return {};
    const list = listOf(args.defaultConstraints, `${path}.defaultConstraints`);
    return { defaultConstraints: list as TopologySpreadConstraint[] };
  },
};

function withArguments(profile: Profile, value: unknown, path: string): Profile {
  let changed = profile;
  for (const [index, item] of listOf(value, path).entries()) {
    const at = `${path}[${index}]`;
    const { name, args } = fieldsOf(item, at);
    const plugin = textOf(name, `${at}.name`);
    if (!knownPlugins.has(plugin)) fail(at, `plugin ${JSON.stringify(plugin)} does not exist`);
    const read = argumentsOf[plugin];
    if (read === undefined) continue;
    changed = { ...changed, ...read(fieldsOf(args, `${at}.args`), `${at}.args`, changed) };
  }
  return changed;
}

function names(value: unknown, path: string): ReadonlySet<string> {
  return new Set(listOf(value, path).map((name, index) => textOf(name, `${path}[${index}]`)));
}

function weights(value: unknown, path: string): readonly ResourceWeight[] {
  const rows = listOf(value, path);
  if (rows.length === 0) return defaultProfile.balancedResources;
  return rows.map((row, index) => {
    const { name, weight } = fieldsOf(row, `${path}[${index}]`);
    return {
      name: textOf(name, `${path}[${index}].name`),
      weight: numberOf(weight, `${path}[${index}].weight`, 1, 100),
    };
  });
}

function strategy(fields: Fields, path: string): FitStrategy {
  const resources = weights(fields.resources, `${path}.scoringStrategy.resources`);
  const type = fields.type ?? "LeastAllocated";
  switch (type) {
    case "LeastAllocated":
      return { type: "LeastAllocated", resources };
    case "MostAllocated":
      return { type: "MostAllocated", resources };
    case "RequestedToCapacityRatio": {
      const ratio = fieldsOf(fields.requestedToCapacityRatio, `${path}.requestedToCapacityRatio`);
      const at = `${path}.requestedToCapacityRatio.shape`;
      const shape = listOf(ratio.shape, at).map((point, index) => {
        const { utilization, score } = fieldsOf(point, `${at}[${index}]`);
        return {
          utilization: numberOf(utilization, `${at}[${index}].utilization`, 0, 100),
          score: numberOf(score, `${at}[${index}].score`, 0, 10),
        };
      });
      if (shape.length === 0) fail(at, "at least one point must be specified");
      return { type: "RequestedToCapacityRatio", resources, shape };
    }
    default:
      return fail(`${path}.scoringStrategy.type`, `${JSON.stringify(type)} is not supported`);
  }
}
