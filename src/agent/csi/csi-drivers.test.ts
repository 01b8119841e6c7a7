import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { csiNodes, nodes } from "../../client/resources.ts";
import { Node } from "../../gen/cri/csi_pb.ts";
import { Registration } from "../../gen/cri/pluginregistration_pb.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import { serveSocket } from "../devices/socket-server.ts";
import { PluginRegistry } from "../plugin-registry.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import { CsiDrivers } from "./csi-drivers.ts";
import { CsiNodeReport } from "./csi-node.ts";

const runtime = createRuntime({ logLevel: "error" });
const dir = mkdtempSync(join(tmpdir(), "k3-csi-"));
const stop = new AbortController();
const api = new MemoryApi();
const nodeName = "n";
const report = new CsiNodeReport({ runtime, client: api, nodeName });
const drivers = new CsiDrivers({ runtime, live: api, report });
const registry = new PluginRegistry({
  runtime,
  host: realHost,
  dir,
  handlers: new Map([["CSIPlugin", drivers]]),
});
let following = Promise.resolve();

beforeAll(async () => {
  await api.create(nodes, {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: nodeName, uid: "u", labels: { zone: "a" } },
    spec: {},
  });
  await report.ensure(stop.signal);
  following = registry.follow(stop.signal);
});
afterAll(async () => {
  stop.abort();
  await following;
  drivers.closeAll();
  rmSync(dir, { recursive: true });
});

interface Answers {
  readonly name?: string;
  readonly type?: string;
  readonly versions?: string[];
  readonly info?: ServiceImpl<typeof Node>["nodeGetInfo"];
}

/** A driver that is its own registrar; resolves with what it was told, and how to end it. */
async function serveDriver(socket: string, answers: Answers) {
  const told = Promise.withResolvers<string>();
  const { name = "d.example.com", type = "CSIPlugin", versions = ["1.0.0"] } = answers;
  const close = await serveSocket(`${dir}/${socket}`, (router) => {
    router.service(Registration, {
      getInfo: () => ({ type, name, supportedVersions: versions }),
      notifyRegistrationStatus: ({ pluginRegistered, error }) => {
        told.resolve(pluginRegistered ? "registered" : error);
        return {};
      },
    });
    router.service(Node, {
      nodeGetInfo: answers.info ?? (() => ({ nodeId: "id", maxVolumesPerNode: 3n })),
    });
  });
  return { told: await told.promise, close };
}

async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await runtime.clock.sleep(5, stop.signal);
}

async function csiNode() {
  return await api.get(csiNodes, "", nodeName);
}

test("a driver's answers are on the CSINode and the Node until its socket goes", async () => {
  const made = await csiNode();
  expect(made.metadata.ownerReferences).toEqual([
    { apiVersion: "v1", kind: "Node", name: nodeName, uid: "u" },
  ]);
  expect(made.metadata.annotations?.["storage.alpha.kubernetes.io/migrated-plugins"]).toContain(
    "kubernetes.io/aws-ebs,kubernetes.io/azure-disk",
  );
  expect(made.spec.drivers).toEqual([]);
  mkdirSync(`${dir}/nested`);
  const accessibleTopology = { segments: { "d.example.com/zone": "z", "d.example.com/rack": "r" } };
  const info = () => ({ nodeId: "id", maxVolumesPerNode: 3n, accessibleTopology });
  const first = await serveDriver("first.sock", { info });
  expect(first.told).toBe("registered");
  const topologyKeys = ["d.example.com/rack", "d.example.com/zone"];
  expect((await csiNode()).spec.drivers).toEqual([
    { name: "d.example.com", nodeID: "id", topologyKeys, allocatable: { count: 3 } },
  ]);
  const { labels, annotations } = (await api.get(nodes, "", nodeName)).metadata;
  expect(labels).toEqual({ zone: "a", ...accessibleTopology.segments });
  expect(annotations).toEqual({ "csi.volume.kubernetes.io/nodeid": '{"d.example.com":"id"}' });
  const second = await serveDriver("second.sock", {});
  expect(second.told).toBe(
    "RegisterPlugin error -- plugin validation failed with err: validation failed for CSI Driver " +
      `d.example.com at endpoint ${dir}/second.sock: kubernetes.io/csi: ValidatePlugin for CSI ` +
      'driver "d.example.com" failed. Another driver with the same name is already registered ' +
      'with a higher supported version: "1.0.0"',
  );
  await second.close();
  await first.close();
  await until(async () => (await csiNode()).spec.drivers.length === 0);
  await until(async () => {
    const node = await api.get(nodes, "", nodeName);
    return node.metadata.annotations?.["csi.volume.kubernetes.io/nodeid"] === undefined;
  });
  expect(() => drivers.client("d.example.com")).toThrow(
    "driver name d.example.com not found in the list of registered CSI drivers",
  );
});

const refusals: readonly (readonly [string, Answers, string])[] = [
  [
    "another type",
    { type: "DRAPlugin" },
    `RegisterPlugin error -- no handler registered for plugin type: DRAPlugin at socket ${dir}/`,
  ],
  [
    "a version to come",
    { versions: ["2.0.0"] },
    'None of the versions specified ["2.0.0"] are supported.',
  ],
  [
    "no id",
    { info: () => ({}) },
    "RegisterPlugin error -- plugin registration failed with err: error adding CSI driver node " +
      "info: driverNodeID must not be empty",
  ],
  [
    "a label that is another's",
    { info: () => ({ nodeId: "id", accessibleTopology: { segments: { zone: "b" } } }) },
    'topology value collision: driver reported "zone":"b" but existing label is "zone":"a"',
  ],
];

for (const [what, answers, message] of refusals) {
  test(`a driver with ${what} is told why it is not taken`, async () => {
    const { told, close } = await serveDriver(`${what.replaceAll(/\W/g, "")}.sock`, answers);
    await close();
    expect(told).toContain(message);
    expect((await csiNode()).spec.drivers).toEqual([]);
  });
}
