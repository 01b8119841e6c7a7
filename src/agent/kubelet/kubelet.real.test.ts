/** Real containers under the payload's containerd; needs root and a built payload. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { payloadFile, unpackBundle } from "../../runtime/bundle.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Scope } from "../../runtime/scope.ts";
import { startContainerd } from "../containerd.ts";
import { openCri } from "../cri/client.ts";
import { ensureArchive } from "../image-import.ts";
import { createKubeletApp, type KubeletApp } from "../kubelet-api.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import { startKubelet } from "./kubelet.ts";
import { defaultSettings } from "./kubelet-settings.ts";

const image = "docker.io/rancher/mirrored-pause:3.6";

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs root";
  return payloadFile() === undefined ? "no payload is built" : undefined;
}

const skipped = reasonToSkip();
if (skipped !== undefined) console.log(`Skipped the kubelet with real containers: ${skipped}`);

class TestScope implements Scope {
  readonly #stop = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  readonly #cleanups: (() => Promise<void> | void)[] = [];
  readonly signal = this.#stop.signal;

  task(_name: string, run: (signal: AbortSignal) => Promise<void>): void {
    this.#tasks.push(run(this.signal));
  }

  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup);
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#tasks);
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }
}

const runtime = createRuntime({ logLevel: "error" });
const api = new MemoryApi();
let scope = new TestScope();
let app: KubeletApp;
let dir = "";

async function start(): Promise<void> {
  const payload = payloadFile();
  if (payload === undefined) return;
  scope = new TestScope();
  const bundle = await unpackBundle({ dataDir: dir, payload });
  const containerd = await startContainerd({
    runtime,
    host: realHost,
    scope,
    dataDir: dir,
    binDir: bundle.bin,
    cniBinDir: bundle.cni,
    pauseImage: image,
    stateDir: `${dir}/run`,
    streamPort: 10012,
  });
  const cri = openCri(containerd.socketPath);
  const { socketPath, binDir } = containerd;
  const archive = `${bundle.images}/pause.tar`;
  await ensureArchive({ runtime, socketPath, binDir, cri }, image, archive, scope.signal);
  const kubelet = await startKubelet({
    runtime,
    host: realHost,
    scope,
    client: api,
    live: api,
    events: api.recorder,
    cri,
    nodeName: "node",
    nodeIps: ["127.0.0.1"],
    isServer: false,
    kubeletVersion: "v1.36.4+k3.1",
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    settings: { ...defaultSettings, rootDir: `${dir}/kubelet` },
    logRoot: `${dir}/pods`,
    staticPodDir: `${dir}/manifests`,
  });
  app = createKubeletApp({ kubelet });
}

beforeAll(async () => {
  if (skipped !== undefined) return;
  dir = await mkdtemp(`${tmpdir()}/k3-kubelet-`);
  await start();
}, 120_000);

afterAll(async () => {
  if (skipped !== undefined) return;
  await scope.end();
  await rm(dir, { recursive: true, force: true });
}, 60_000);

function pod(name: string, spec: Partial<Pod["spec"]>, args: readonly string[]): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: runtime.random.uuid() },
    spec: {
      nodeName: "node",
      // The host's network: the test needs no CNI configuration then.
      hostNetwork: true,
      terminationGracePeriodSeconds: 5,
      ...spec,
      containers: [{ name: "c", image, imagePullPolicy: "IfNotPresent", args: [...args] }],
    },
  };
}

/** Resolves with the pod once `fits` holds; the test's own time limit ends the wait. */
function seen(name: string, fits: (pod: Pod | undefined) => boolean): Promise<Pod | undefined> {
  const live = api.of(pods);
  const now = (): Pod | undefined => live.get(`default/${name}`)?.object as Pod | undefined;
  return new Promise((resolve) => {
    const look = (): void => {
      if (!fits(now())) return;
      subscription[Symbol.dispose]();
      resolve(now());
    };
    const subscription = live.subscribe(look);
    look();
  });
}

const real = test.skipIf(skipped !== undefined);

real(
  "a pod runs, outlives the kubelet and containerd, and goes when it is deleted",
  async () => {
    await api.create(pods, pod("web", {}, []));
    const before = await seen("web", (found) => found?.status?.phase === "Running");
    const id = before?.status?.containerStatuses?.[0]?.containerID;
    await scope.end();
    await start();
    const after = await seen("web", (found) => found?.status?.phase === "Running");
    expect(after?.status?.containerStatuses?.[0]?.containerID).toBe(id ?? "");
    expect(after?.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    await api.delete(pods, "default", "web", { gracePeriodSeconds: 5 });
    expect(await seen("web", (found) => found === undefined)).toBeUndefined();
  },
  60_000,
);

real(
  "a pod that ends reports its exit code, and its log can be read",
  async () => {
    const spec = { restartPolicy: "Never" };
    await api.create(pods, pod("once", spec, ["--version"]));
    const ended = (found: Pod | undefined): boolean =>
      ["Succeeded", "Failed"].includes(found?.status?.phase ?? "");
    const found = await seen("once", ended);
    const state = found?.status?.containerStatuses?.[0]?.state?.terminated;
    expect(state?.reason === "Completed").toBe(state?.exitCode === 0);
    const answer = await app.fetch(new Request("http://node/containerLogs/default/once/c"));
    expect(answer.status).toBe(200);
    expect(await answer.text()).not.toBe("");
    await api.delete(pods, "default", "once", { gracePeriodSeconds: 1 });
    await seen("once", (left) => left === undefined);
  },
  60_000,
);

test.if(skipped === undefined)(
  "a kubelet that is stopped as soon as it has started ends",
  async () => {
    await scope.end();
    await start();
    await scope.end();
    await start();
  },
  60_000,
);
