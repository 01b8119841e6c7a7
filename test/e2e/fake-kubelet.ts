/** Nodes without machines: their pods run, end and go as soon as the API says so. */

import type { Client } from "../../src/client/client.ts";
import { createHttpClient } from "../../src/client/http-client.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { leases, nodes, pods } from "../../src/client/resources.ts";
import type { Pod } from "../../src/gen/core-v1.ts";
import { isReason } from "../../src/lib/api-error.ts";
import { createRuntime } from "../../src/runtime/real.ts";

export class FakeKubelet {
  readonly client: Client;
  readonly #stop = new AbortController();
  readonly #watching: Promise<void>;

  private constructor(client: Client) {
    this.client = client;
    this.#watching = this.#watch();
  }

  /** Makes the nodes; their pods live until `stop`. */
  static async start(kubeconfig: string, names: readonly string[]): Promise<FakeKubelet> {
    const runtime = createRuntime();
    const client = createHttpClient({
      runtime,
      ...(await loadKubeconfig(runtime.files, kubeconfig)),
    });
    for (const name of names) {
      await client.create(nodes, {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { "kubernetes.io/hostname": name } },
        spec: {},
      });
      const status = {
        allocatable: { cpu: "4", memory: "8Gi", pods: "110" },
        capacity: { cpu: "4", memory: "8Gi", pods: "110" },
        conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: now() }],
      };
      await client.patch(nodes, "", name, "merge", { status }, { subresource: "status" });
      await client.create(leases, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace: "kube-node-lease" },
        spec: { holderIdentity: name, leaseDurationSeconds: 40 },
      });
    }
    return new FakeKubelet(client);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { items, resourceVersion } = await this.client.list(pods, "");
    for (const pod of items) await this.#sync(pod);
    try {
      const events = this.client.watch(pods, "", { resourceVersion }, this.#stop.signal);
      for await (const { type, object } of events) {
        if (type === "ADDED" || type === "MODIFIED") await this.#sync(object);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  async #sync(pod: Pod): Promise<void> {
    const { namespace = "", name = "", deletionTimestamp, uid = "" } = pod.metadata;
    if ((pod.spec.nodeName ?? "") === "") return;
    try {
      if (deletionTimestamp !== undefined) {
        const options = { gracePeriodSeconds: 0, preconditions: { uid } };
        await this.client.delete(pods, namespace, name, options);
      } else if ((pod.status?.phase ?? "Pending") === "Pending") {
        const body = { metadata: { uid }, status: statusOf(pod) };
        await this.client.patch(pods, namespace, name, "merge", body, { subresource: "status" });
      }
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

let lastIp = 10;

/** A pod that never restarts ends at once, well unless its command is `false`. */
function statusOf(pod: Pod): Pod["status"] {
  const isEnding = pod.spec.restartPolicy === "Never";
  const fails = pod.spec.containers.some(({ command }) => command?.[0] === "false");
  const ready = isEnding ? "False" : "True";
  const state = isEnding
    ? { terminated: { exitCode: fails ? 1 : 0, finishedAt: now(), startedAt: now() } }
    : { running: { startedAt: now() } };
  lastIp += 1;
  const podIP = `10.42.${lastIp >> 8}.${lastIp & 255}`;
  return {
    phase: isEnding ? (fails ? "Failed" : "Succeeded") : "Running",
    conditions: ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map((type) => ({
      type,
      status: type.endsWith("Ready") ? ready : "True",
      lastTransitionTime: now(),
    })),
    containerStatuses: pod.spec.containers.map(({ name, image = "" }) => ({
      name,
      image,
      imageID: image,
      ready: !isEnding,
      restartCount: 0,
      state,
    })),
    hostIP: "10.99.0.1",
    podIP,
    podIPs: [{ ip: podIP }],
    startTime: now(),
  };
}
