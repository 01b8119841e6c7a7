/** What `kubectl get` shows of every kind: upstream's printers as a table. */
import { expect, test } from "bun:test";
import type { ResourceDefinition } from "../api/resource-definition.ts";
import { createGroups } from "./all.ts";
import { noNodes } from "./node-connector.ts";

const rows = createGroups({
  network: { serviceCidrs: ["10.43.0.0/16"], nodePortMin: 30000, nodePortMax: 32767 },
  nodes: noNodes,
  signToken: async () => ({ token: "t", audiences: [] }),
  verifyToken: async () => undefined,
});

/** Headers by kind as `-o wide` shows them; wide ones have a star. */
const headers: Readonly<Record<string, string>> = {
  APIService: "Name, Service, Available, Age",
  CSIDriver:
    "Name, AttachRequired, PodInfoOnMount, StorageCapacity, TokenRequests, RequiresRepublish, " +
    "Modes, Age",
  CSINode: "Name, Drivers, Age",
  CSIStorageCapacity: "Name, Created At",
  CertificateSigningRequest: "Name, Age, SignerName, Requestor, RequestedDuration, Condition",
  ClusterRole: "Name, Created At",
  ClusterRoleBinding: "Name, Role, Age, Users*, Groups*, ServiceAccounts*",
  ComponentStatus: "Name, Status, Message, Error",
  ConfigMap: "Name, Data, Age",
  ControllerRevision: "Name, Controller, Revision, Age",
  CronJob:
    "Name, Schedule, Timezone, Suspend, Active, Last Schedule, Age, Containers*, Images*, " +
    "Selector*",
  CustomResourceDefinition: "Name, Created At",
  DaemonSet:
    "Name, Desired, Current, Ready, Up-to-date, Available, Node Selector, Age, Containers*, " +
    "Images*, Selector*",
  Deployment: "Name, Ready, Up-to-date, Available, Age, Containers*, Images*, Selector*",
  DeviceClass: "Name, Age",
  EndpointSlice: "Name, AddressType, Ports, Endpoints, Age",
  Endpoints: "Name, Endpoints, Age",
  Event:
    "Last Seen, Type, Reason, Object, Subobject*, Source*, Message, First Seen*, Count*, Name*",
  FlowSchema: "Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL",
  HorizontalPodAutoscaler: "Name, Reference, Targets, MinPods, MaxPods, Replicas, Age",
  IPAddress: "Name, ParentRef",
  Ingress: "Name, Class, Hosts, Address, Ports, Age",
  IngressClass: "Name, Controller, Parameters, Age",
  Job: "Name, Status, Completions, Duration, Age, Containers*, Images*, Selector*",
  Lease: "Name, Holder, Age",
  LimitRange: "Name, Created At",
  MutatingAdmissionPolicy: "Name, Mutations, ParamKind, Age",
  MutatingAdmissionPolicyBinding: "Name, PolicyName, ParamRef, Age",
  MutatingWebhookConfiguration: "Name, Webhooks, Age",
  Namespace: "Name, Status, Age",
  NetworkPolicy: "Name, Pod-Selector, Age",
  Node:
    "Name, Status, Roles, Age, Version, Internal-IP*, External-IP*, OS-Image*, Kernel-Version*, " +
    "Container-Runtime*",
  PersistentVolume:
    "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, " +
    "VolumeAttributesClass, Reason, Age, VolumeMode*",
  PersistentVolumeClaim:
    "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, " +
    "VolumeMode*",
  Pod: "Name, Ready, Status, Restarts, Age, IP*, Node*, Nominated Node*, Readiness Gates*",
  PodDisruptionBudget: "Name, Min Available, Max Unavailable, Allowed Disruptions, Age",
  PodTemplate: "Name, Containers, Images, Pod Labels",
  PriorityClass: "Name, Value, Global-Default, Age, PreemptionPolicy",
  PriorityLevelConfiguration:
    "Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age",
  ReplicaSet: "Name, Desired, Current, Ready, Age, Containers*, Images*, Selector*",
  ReplicationController: "Name, Desired, Current, Ready, Age, Containers*, Images*, Selector*",
  ResourceClaim: "Name, State, Age",
  ResourceClaimTemplate: "Name, Age",
  ResourceQuota: "Name, Request, Limit, Age",
  ResourceSlice: "Name, Node, Driver, Pool, Age",
  Role: "Name, Created At",
  RoleBinding: "Name, Role, Age, Users*, Groups*, ServiceAccounts*",
  RuntimeClass: "Name, Handler, Age",
  Secret: "Name, Type, Data, Age",
  Service: "Name, Type, Cluster-IP, External-IP, Port(s), Age, Selector*",
  ServiceAccount: "Name, Age",
  ServiceCIDR: "Name, CIDRs, Age",
  StatefulSet: "Name, Ready, Age, Containers*, Images*",
  StorageClass: "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
  ValidatingAdmissionPolicy: "Name, Validations, ParamKind, Age",
  ValidatingAdmissionPolicyBinding: "Name, PolicyName, ParamRef, Age",
  ValidatingWebhookConfiguration: "Name, Webhooks, Age",
  VolumeAttachment: "Name, Attacher, PV, Node, Attached, Age",
  VolumeAttributesClass: "Name, DriverName, Age",
};

const shown = rows.filter(({ verbs }) => verbs.includes("list"));

test("the table of headers names every kind that can be listed", () => {
  expect(Object.keys(headers)).toEqual([...new Set(shown.map(({ kind }) => kind))].sort());
});

for (const { group, version, kind, columns } of shown)
  test(`${group}/${version} ${kind} has upstream's columns`, () => {
    const names = columns.map(({ name, priority }) => (priority === 0 ? name : `${name}*`));
    expect(names.join(", ")).toBe(headers[kind] ?? "");
  });

const now = new Date("2026-01-01T00:10:00Z");
const created = { creationTimestamp: "2026-01-01T00:00:00Z", name: "one", namespace: "ns" };

/** The cells of an object without what stands in front of them in every row. */
function cellsOf(kind: string, object: object): string {
  const row = shown.find((one) => one.kind === kind) as ResourceDefinition;
  const filled = { metadata: created, ...object } as never;
  return row.columns.map(({ value }) => String(value(filled, now))).join(" | ");
}

const terminated = (exitCode: number, reason: string) => ({ terminated: { exitCode, reason } });
const running = { running: { startedAt: created.creationTimestamp } };
const pod = (phase: string, states: readonly object[], more: object = {}) => ({
  spec: { containers: states.map((_, index) => ({ name: `c${index}` })) },
  status: {
    phase,
    containerStatuses: states.map((state, index) => ({
      name: `c${index}`,
      state,
      ready: "running" in state,
      restartCount: 0,
    })),
    ...more,
  },
});
const none = "<none> | <none> | <none> | <none>";
const endpoint = (...addresses: string[]) => ({ addresses });

const cells: readonly (readonly [kind: string, object: object, cells: string])[] = [
  ["Pod", pod("Running", [running]), `one | 1/1 | Running | 0 | 10m | ${none}`],
  [
    "Pod",
    pod("Failed", [terminated(0, "Completed"), terminated(1, "Error")]),
    `one | 0/2 | Error | 0 | 10m | ${none}`,
  ],
  [
    "Pod",
    pod("Running", [terminated(0, "Completed"), running]),
    `one | 1/2 | NotReady | 0 | 10m | ${none}`,
  ],
  [
    "Pod",
    pod("Running", [terminated(0, "Completed"), running], {
      conditions: [{ type: "Ready", status: "True" }],
    }),
    `one | 1/2 | Running | 0 | 10m | ${none}`,
  ],
  ["Pod", pod("Failed", [], { reason: "Evicted" }), `one | 0/0 | Evicted | 0 | 10m | ${none}`],
  ["Endpoints", { subsets: [] }, "one | <none> | 10m"],
  [
    "Endpoints",
    {
      subsets: [
        { addresses: ["1", "2"].map((ip) => ({ ip })), ports: [{ port: 80 }, { port: 81 }] },
      ],
    },
    "one | 1:80,2:80,1:81 + 1 more... | 10m",
  ],
  [
    "EndpointSlice",
    {
      addressType: "IPv4",
      ports: [{ port: 80 }, { name: "any" }, {}],
      endpoints: [endpoint("1", "2"), endpoint("3"), endpoint("4")],
    },
    "one | IPv4 | 80,any,* | 1,2,3 + 1 more... | 10m",
  ],
  [
    "IngressClass",
    { spec: { controller: "c", parameters: { kind: "Params", apiGroup: "x.io", name: "p" } } },
    "one | c | Params.x.io/p | 10m",
  ],
  [
    "IPAddress",
    { spec: { parentRef: { resource: "services", namespace: "ns", name: "s" } } },
    "one | services/ns/s",
  ],
  [
    "Event",
    {
      type: "Warning",
      reason: "BackOff",
      involvedObject: { kind: "Pod", name: "p" },
      source: { component: "kubelet", host: "n" },
      message: " why ",
      firstTimestamp: "2026-01-01T00:01:00Z",
      lastTimestamp: "2026-01-01T00:09:00Z",
      count: 4,
    },
    "60s | Warning | BackOff | pod/p |  | kubelet, n | why | 9m | 4 | one",
  ],
  [
    "Job",
    { spec: { parallelism: 3, template: { spec: { containers: [] } } }, status: { succeeded: 1 } },
    "one | Running | 1/1 of 3 |  | 10m |  |  | <none>",
  ],
];

for (const [kind, object, expected] of cells)
  test(`a ${kind} is shown as ${expected}`, () => {
    expect(cellsOf(kind, object)).toBe(expected);
  });
