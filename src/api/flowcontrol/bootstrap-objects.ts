/** The priority levels and flow schemas that every cluster begins with, after upstream's. */
import type {
  FlowSchema,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
  Subject,
} from "../../gen/flowcontrol-v1.ts";

/** Set to "false" it keeps the server's hands off a suggested object. */
export const autoupdateAnnotation = "apf.kubernetes.io/autoupdate-spec";

const apiVersion = "flowcontrol.apiserver.k8s.io/v1";

function metadataOf(name: string) {
  return { name, annotations: { [autoupdateAnnotation]: "true" } };
}

function level(name: string, spec: PriorityLevelConfiguration["spec"]): PriorityLevelConfiguration {
  return { apiVersion, kind: "PriorityLevelConfiguration", metadata: metadataOf(name), spec };
}

function queued(
  name: string,
  nominalConcurrencyShares: number,
  lendablePercent: number,
  [queues, handSize]: readonly [queues: number, handSize: number],
): PriorityLevelConfiguration {
  const queuing = { queues, handSize, queueLengthLimit: 50 };
  const limitResponse = { type: "Queue", queuing };
  const limited = { nominalConcurrencyShares, lendablePercent, limitResponse };
  return level(name, { type: "Limited", limited });
}

/** What the server cannot do without: changes to these are taken back. */
export const mandatoryPriorityLevels: readonly PriorityLevelConfiguration[] = [
  level("catch-all", {
    type: "Limited",
    limited: {
      nominalConcurrencyShares: 5,
      lendablePercent: 0,
      limitResponse: { type: "Reject" },
    },
  }),
  level("exempt", {
    type: "Exempt",
    exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 },
  }),
];

export const suggestedPriorityLevels: readonly PriorityLevelConfiguration[] = [
  queued("system", 30, 33, [64, 6]),
  queued("node-high", 40, 25, [64, 6]),
  queued("leader-election", 10, 0, [16, 4]),
  queued("workload-high", 40, 50, [128, 6]),
  queued("workload-low", 100, 90, [128, 6]),
  queued("global-default", 20, 50, [128, 6]),
];

const groups = (...names: readonly string[]): Subject[] =>
  names.map((name) => ({ kind: "Group", group: { name } }));
const users = (...names: readonly string[]): Subject[] =>
  names.map((name) => ({ kind: "User", user: { name } }));
const kubeSystemAccounts: readonly Subject[] = [
  { kind: "ServiceAccount", serviceAccount: { name: "*", namespace: "kube-system" } },
];
const everyone = groups("system:unauthenticated", "system:authenticated");

function onResources(
  verbs: string[],
  apiGroups: string[],
  resources: string[],
  clusterScope: boolean,
): ResourcePolicyRule {
  const scope = clusterScope ? { clusterScope } : {};
  return { verbs, apiGroups, resources, ...scope, namespaces: ["*"] };
}

function onEverything(subjects: readonly Subject[]): PolicyRulesWithSubjects {
  return {
    subjects: [...subjects],
    resourceRules: [onResources(["*"], ["*"], ["*"], true)],
    nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
  };
}

function schema(
  [name, priorityLevel]: readonly [name: string, priorityLevel: string],
  matchingPrecedence: number,
  distinguisher: "ByUser" | "ByNamespace" | undefined,
  rule: PolicyRulesWithSubjects,
): FlowSchema {
  return {
    apiVersion,
    kind: "FlowSchema",
    metadata: metadataOf(name),
    spec: {
      priorityLevelConfiguration: { name: priorityLevel },
      matchingPrecedence,
      ...(distinguisher === undefined ? {} : { distinguisherMethod: { type: distinguisher } }),
      rules: [rule],
    },
  };
}

/** See `mandatoryPriorityLevels`. */
export const mandatoryFlowSchemas: readonly FlowSchema[] = [
  schema(["exempt", "exempt"], 1, undefined, onEverything(groups("system:masters"))),
  schema(["catch-all", "catch-all"], 10_000, "ByUser", onEverything(everyone)),
];

const leases = ["coordination.k8s.io"];

export const suggestedFlowSchemas: readonly FlowSchema[] = [
  schema(["system-nodes", "system"], 500, "ByUser", onEverything(groups("system:nodes"))),
  schema(["system-node-high", "node-high"], 400, "ByUser", {
    subjects: groups("system:nodes"),
    resourceRules: [
      onResources(["*"], [""], ["nodes", "nodes/status"], true),
      onResources(["*"], leases, ["leases"], false),
    ],
  }),
  schema(["probes", "exempt"], 2, undefined, {
    subjects: everyone,
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }],
  }),
  schema(["system-leader-election", "leader-election"], 100, "ByUser", {
    subjects: [
      ...users("system:kube-controller-manager", "system:kube-scheduler"),
      ...kubeSystemAccounts,
    ],
    resourceRules: [onResources(["get", "create", "update"], leases, ["leases"], false)],
  }),
  schema(
    ["kube-controller-manager", "workload-high"],
    800,
    "ByNamespace",
    onEverything(users("system:kube-controller-manager")),
  ),
  schema(
    ["kube-scheduler", "workload-high"],
    800,
    "ByNamespace",
    onEverything(users("system:kube-scheduler")),
  ),
  schema(
    ["kube-system-service-accounts", "workload-high"],
    900,
    "ByNamespace",
    onEverything(kubeSystemAccounts),
  ),
  schema(
    ["service-accounts", "workload-low"],
    9000,
    "ByUser",
    onEverything(groups("system:serviceaccounts")),
  ),
  schema(["global-default", "global-default"], 9900, "ByUser", onEverything(everyone)),
];
