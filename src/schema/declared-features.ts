/** Features of nodes that pods may need, `status.declaredFeatures` of a Node (KEP-5328). */
import type { Container, PodSpec } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";

type Spec = DeepReadonly<PodSpec>;

interface Feature {
  /** Whether a pod needs it to run. */
  readonly toRun?: (spec: Spec) => boolean;
  /** Whether a change of a pod that runs needs it. */
  readonly toChange?: (spec: Spec, old: Spec) => boolean;
}

/** In the order of their names, as they are told. */
const features = {
  ExtendWebSocketsToKubelet: {},
  InPlacePodLevelResourcesVerticalScaling: {
    toChange: (spec, old) => !semanticEqual(spec.resources, old.resources),
  },
  InPlacePodVerticalScalingInitContainers: {
    toChange: (spec, old) =>
      (old.initContainers ?? []).some(
        (container, index) =>
          container.restartPolicy !== "Always" &&
          !semanticEqual(container.resources, spec.initContainers?.[index]?.resources),
      ),
  },
  RestartAllContainersOnContainerExits: {
    toRun: ({ containers, initContainers = [] }) =>
      [...containers, ...initContainers].some(restartsAll),
  },
  UserNamespacesHostNetworkSupport: {
    toRun: ({ hostNetwork, hostUsers }) => hostNetwork === true && hostUsers === false,
  },
} as const satisfies Readonly<Record<string, Feature>>;

export type FeatureName = keyof typeof features;

const table: readonly (readonly [string, Feature])[] = Object.entries(features);

function restartsAll({ restartPolicyRules = [] }: DeepReadonly<Container>): boolean {
  return restartPolicyRules.some(({ action }) => action === "RestartAllContainers");
}

/** What a node must have declared to run the pod. */
export function featuresToRun(spec: Spec): readonly string[] {
  return table.flatMap(([name, { toRun }]) => (toRun?.(spec) === true ? [name] : []));
}

/** What the pod's node must have declared so that `old` may become `spec`. */
export function featuresToChange(spec: Spec, old: Spec): readonly string[] {
  return table.flatMap(([name, { toChange }]) => (toChange?.(spec, old) === true ? [name] : []));
}

/** Those that the node has not declared. */
export function missingFeatures(
  needed: readonly string[],
  declared: readonly string[] = [],
): readonly string[] {
  return needed.filter((name) => !declared.includes(name));
}
