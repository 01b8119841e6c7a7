import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { configMaps } from "../../client/resources.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import { CsiDrivers } from "../csi/csi-drivers.ts";
import { CsiNodeReport } from "../csi/csi-node.ts";
import { CsiVolumes } from "../csi/csi-volumes.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import type { PodPlace } from "./field-ref.ts";
import { ObjectSource } from "./object-source.ts";
import { ServiceAccountTokens } from "./service-account-tokens.ts";
import type { Pod } from "./types.ts";
import { Volumes } from "./volumes.ts";

const runtime = createRuntime({ logLevel: "error" });
const place: PodPlace = { nodeName: "n", hostIps: [], podIps: [], allocatable: {} };
const signal = new AbortController().signal;
const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default", uid: "u1" },
  spec: { containers: [], volumes: [{ name: "map", configMap: { name: "settings" } }] },
};

let rootDir = "";
beforeAll(async () => {
  rootDir = await mkdtemp(`${tmpdir()}/k3-volumes-`);
});
afterAll(async () => {
  await rm(rootDir, { recursive: true });
});

async function volumesOver(api: MemoryApi): Promise<Volumes> {
  const metadata = { name: "settings", namespace: "default" };
  await api.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata, data: { a: "1" } });
  const objects = new ObjectSource({ runtime, client: api, onChange: () => {} });
  const tokens = new ServiceAccountTokens(api, runtime);
  const drivers = new CsiDrivers({
    runtime,
    live: api,
    report: new CsiNodeReport({ runtime, client: api, nodeName: "n" }),
  });
  const shared = { runtime, host: realHost, client: api, objects, tokens, rootDir };
  const onInUse = async (): Promise<void> => {};
  const csi = new CsiVolumes({ ...shared, drivers, events: api.recorder, nodeName: "n", onInUse });
  return new Volumes({ ...shared, csi });
}

test("files follow their object, and a pod taken down stays down", async () => {
  const api = new MemoryApi();
  const volumes = await volumesOver(api);
  await volumes.prepare(pod, place, signal);
  const dir = volumes.pathOf(pod, { name: "map", configMap: {} }) ?? "";
  expect(await readFile(`${dir}/a`, "utf8")).toBe("1");
  await api.patch(configMaps, "default", "settings", "merge", { data: { a: "2" } });
  await volumes.refresh(pod, place);
  expect(await readFile(`${dir}/a`, "utf8")).toBe("2");
  // A refresh on either side of the end neither fails nor brings directories back.
  const before = volumes.refresh(pod, place);
  const end = volumes.tearDown("u1");
  await Promise.all([before, end, volumes.refresh(pod, place)]);
  expect(await readdir(`${rootDir}/pods`)).toEqual([]);
});
