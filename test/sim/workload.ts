/** What runs in a simulated cluster: how it is made and changed, and what it must come to. */
import type { Client, Resource } from "../../src/client/client.ts";
import {
  daemonSets,
  deployments,
  endpointSlices,
  jobs,
  namespaces,
  networkPolicies,
  podDisruptionBudgets,
  pods,
  services,
  statefulSets,
} from "../../src/client/resources.ts";
import type { Pod } from "../../src/gen/core-v1.ts";
import type { Random } from "../../src/runtime/runtime.ts";
import type { KubeObject } from "../../src/schema/object.ts";
import { maxSurge } from "./invariants.ts";

export const namespace = "work";
const apps = "apps/v1";
const completions = 3;

/** Notes `what` when a value is not the wanted one. */
export type Expect = (what: string, is: unknown, wanted: unknown) => void;

export interface App {
  /** The label `app` of its pods. */
  readonly name: string;
  readonly objects: readonly (readonly [Resource<KubeObject>, KubeObject])[];
  /** A change as a user makes it. */
  change(client: Client, random: Random): Promise<unknown>;
  /** `own` are its pods. */
  expect(client: Client, own: readonly Pod[], nodeCount: number, expect: Expect): Promise<void>;
}

const named = (name: string) => ({ name, namespace });
const selecting = (app: string) => ({ selector: { matchLabels: { app } } });
const template = (app: string, args: readonly string[]) => ({
  metadata: { labels: { app } },
  spec: {
    // One that does not listen is killed after so many seconds.
    terminationGracePeriodSeconds: 3,
    tolerations: [{ operator: "Exists" as const }],
    containers: [
      { name: "c", image: "app:0", imagePullPolicy: "IfNotPresent" as const, args: [...args] },
    ],
  },
});

/** Another image, or another number of replicas. */
function patchOf(random: Random, replicasMax: number): object {
  if (random.int(2) === 0) return { spec: { replicas: random.int(replicasMax + 1) } };
  const containers = [{ name: "c", image: `app:${random.int(3)}` }];
  return { spec: { template: { spec: { containers } } } };
}

function object(resource: Resource<never>, value: KubeObject): App["objects"][number] {
  return [resource as Resource<KubeObject>, value];
}

export function isReady({ status, metadata }: Pod): boolean {
  const conditions = status?.conditions ?? [];
  const ready = conditions.some((one) => one.type === "Ready" && one.status === "True");
  return ready && metadata.deletionTimestamp === undefined;
}

/** The images of the first containers, each `times` over. */
function imagesOf(all: readonly Pick<Pod, "spec">[], times = 1): string {
  const images = all.map(({ spec }) => spec.containers[0]?.image);
  return Array.from({ length: times }, () => images)
    .flat()
    .join();
}

const web: App = {
  name: "web",
  objects: [
    object(
      services as Resource<never>,
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: named("web"),
        spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
      } as KubeObject,
    ),
    object(
      deployments as Resource<never>,
      {
        apiVersion: apps,
        kind: "Deployment",
        metadata: named("web"),
        spec: {
          ...selecting("web"),
          replicas: 3,
          strategy: { rollingUpdate: { maxSurge, maxUnavailable: 1 } },
          template: template("web", ["serve"]),
        },
      } as KubeObject,
    ),
    object(
      podDisruptionBudgets as Resource<never>,
      {
        apiVersion: "policy/v1",
        kind: "PodDisruptionBudget",
        metadata: named("web"),
        spec: { ...selecting("web"), minAvailable: 1 },
      } as KubeObject,
    ),
  ],
  change: (client, random) =>
    client.patch(deployments, namespace, "web", "strategic", patchOf(random, 4)),
  async expect(client, own, _nodeCount, expect) {
    const { metadata, spec, status } = await client.get(deployments, namespace, "web");
    const replicas = spec.replicas ?? 1;
    expect("web updated", status?.updatedReplicas ?? 0, replicas);
    expect("web ready", status?.readyReplicas ?? 0, replicas);
    expect("web replicas", status?.replicas ?? 0, replicas);
    expect("web observed", status?.observedGeneration, metadata.generation);
    expect("pods of web", imagesOf(own), imagesOf([spec.template], replicas));
    const ips = own.filter(isReady).map((pod) => pod.status?.podIP ?? "");
    const slices = (await client.list(endpointSlices, namespace)).items;
    const told = slices
      .filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === "web")
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready === true)
      .flatMap(({ addresses }) => addresses);
    expect("endpoints of web", told.sort().join(), ips.sort().join());
  },
};

const db: App = {
  name: "db",
  objects: [
    object(
      statefulSets as Resource<never>,
      {
        apiVersion: apps,
        kind: "StatefulSet",
        metadata: named("db"),
        spec: {
          ...selecting("db"),
          replicas: 2,
          serviceName: "db",
          template: template("db", ["serve"]),
        },
      } as KubeObject,
    ),
  ],
  change: (client, random) =>
    client.patch(statefulSets, namespace, "db", "strategic", patchOf(random, 3)),
  async expect(client, own, _nodeCount, expect) {
    const { spec, status } = await client.get(statefulSets, namespace, "db");
    const replicas = spec.replicas ?? 1;
    expect("db ready", status?.readyReplicas ?? 0, replicas);
    expect("db updated", status?.currentRevision, status?.updateRevision);
    expect("images of db", imagesOf(own), imagesOf([spec.template], replicas));
    const names = Array.from({ length: replicas }, (_, ordinal) => `db-${ordinal}`);
    expect(
      "pods of db",
      own
        .map(({ metadata }) => metadata.name)
        .sort()
        .join(),
      names.join(),
    );
  },
};

const agent: App = {
  name: "agent",
  objects: [
    object(
      daemonSets as Resource<never>,
      {
        apiVersion: apps,
        kind: "DaemonSet",
        metadata: named("agent"),
        spec: { ...selecting("agent"), template: template("agent", ["serve"]) },
      } as KubeObject,
    ),
  ],
  change: (client, random) => {
    const containers = [{ name: "c", image: `app:${random.int(3)}` }];
    const body = { spec: { template: { spec: { containers } } } };
    return client.patch(daemonSets, namespace, "agent", "strategic", body);
  },
  async expect(client, own, nodeCount, expect) {
    const { spec, status } = await client.get(daemonSets, namespace, "agent");
    expect("agent ready", status?.numberReady, nodeCount);
    expect("agent updated", status?.updatedNumberScheduled ?? 0, nodeCount);
    expect("pods of agent", imagesOf(own), imagesOf([spec.template], nodeCount));
    expect("nodes of agent", new Set(own.map((pod) => pod.spec.nodeName)).size, nodeCount);
  },
};

const sumTemplate = template("sum", ["task"]);
const sum: App = {
  name: "sum",
  objects: [
    object(
      jobs as Resource<never>,
      {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: named("sum"),
        spec: {
          completions,
          parallelism: 2,
          backoffLimit: 100,
          template: { ...sumTemplate, spec: { ...sumTemplate.spec, restartPolicy: "Never" } },
        },
      } as KubeObject,
    ),
  ],
  change: (client, random) => {
    const body = { spec: { parallelism: 1 + random.int(3) } };
    return client.patch(jobs, namespace, "sum", "merge", body);
  },
  async expect(client, own, _nodeCount, expect) {
    const { status } = await client.get(jobs, namespace, "sum");
    expect("sum succeeded", status?.succeeded ?? 0, completions);
    expect("sum active", status?.active ?? 0, 0);
    const over = own.filter((pod) => pod.status?.phase === "Succeeded");
    // Whoever was deleted after its success is counted all the same.
    expect("pods of sum that succeeded", over.length <= completions, true);
  },
};

const all: readonly App[] = [web, db, agent, sum];

/** One or two kinds of workload, by the seed. */
export function chooseApps(random: Random): readonly App[] {
  const first = random.int(all.length);
  const second = random.int(all.length);
  return all.filter((_, index) => index === first || index === second);
}

/** The apps in a namespace of their own, with a policy that must outlive all that it guards. */
export async function createApps(client: Client, chosen: readonly App[]): Promise<void> {
  const metadata = { name: namespace };
  await client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata, spec: {} });
  await client.create(networkPolicies, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: named("closed"),
    spec: { podSelector: {}, policyTypes: ["Ingress"] },
  });
  for (const [resource, value] of chosen.flatMap(({ objects }) => objects)) {
    await client.create(resource, structuredClone(value));
  }
}

/** All at once, in the order that the namespace's end has. */
export async function deleteNamespace(client: Client): Promise<void> {
  await client.delete(namespaces, "", namespace);
}

export async function deleteApps(client: Client, chosen: readonly App[]): Promise<void> {
  const options = { propagationPolicy: "Background" } as const;
  for (const [resource, { metadata }] of chosen.flatMap(({ objects }) => objects)) {
    await client.delete(resource, namespace, metadata.name ?? "", options);
  }
}

export async function deleteSomePod(client: Client, random: Random): Promise<void> {
  const name = await somePod(client, random);
  if (name !== undefined) await client.delete(pods, namespace, name);
}

/** The pod goes from the API at once, whatever its node does; `forced` is told before. */
export async function forceAwaySomePod(
  client: Client,
  random: Random,
  forced: (name: string) => void,
): Promise<void> {
  const name = await somePod(client, random);
  if (name === undefined) return;
  forced(`${namespace}/${name}`);
  await client.delete(pods, namespace, name, { gracePeriodSeconds: 0 });
}

export async function evictSomePod(client: Client, random: Random): Promise<void> {
  const name = await somePod(client, random);
  if (name === undefined) return;
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: named(name) };
  await client.createSubresource(pods, namespace, name, "eviction", body);
}

async function somePod(client: Client, random: Random): Promise<string | undefined> {
  const { items } = await client.list(pods, namespace);
  return items[random.int(Math.max(1, items.length))]?.metadata.name;
}
