import { expect, test } from "bun:test";
import { nodes } from "../../../client/resources.ts";
import type { Node } from "../../../gen/core-v1.ts";
import { createExecutor } from "../../../runtime/executor.ts";
import type { CommandResult } from "../../../runtime/runtime.ts";
import { createSimulatedRuntime } from "../../../runtime/simulated.ts";
import { MemoryApi } from "../../testing/memory-api.ts";
import { startOverlay } from "./overlay.ts";

const prefix = "flannel.alpha.coreos.com";

/** A kernel that holds nothing and takes everything. */
function commands(onBatch: () => void = () => {}) {
  const batches: string[] = [];
  const run = ({ argv, stdin = "" }: { argv: readonly string[]; stdin?: string | Uint8Array }) => {
    const line = argv.join(" ");
    if (line.includes("-batch")) {
      batches.push(...String(stdin).trim().split("\n"));
      onBatch();
    }
    const isLink = line.startsWith("ip -d -j link show");
    const stdout = isLink ? '[{"address":"0e:00:00:00:00:01"}]' : "[]";
    return { exitCode: 0, stdout, stderr: "" } satisfies CommandResult;
  };
  return { batches, run };
}

function node(name: string, podCIDR: string, told: Readonly<Record<string, string>> = {}): Node {
  const annotations = Object.fromEntries(
    Object.entries(told).map(([key, value]) => [`${prefix}/${key}`, value]),
  );
  return { apiVersion: "v1", kind: "Node", metadata: { name, annotations }, spec: { podCIDR } };
}

/** An overlay of the node `own`; `ranges` is what it tells of its addresses. */
async function overlayOf(run: ReturnType<typeof commands>["run"]) {
  const runtime = createSimulatedRuntime(1, { run });
  const api = new MemoryApi();
  const ranges: string[] = [];
  const executor = createExecutor(runtime);
  await api.create(nodes, node("own", ""));
  await executor.start([
    {
      name: "overlay",
      needs: [],
      start: async (scope) =>
        startOverlay({
          runtime,
          scope,
          live: api,
          client: api,
          nodeName: "own",
          nodeIps: ["127.0.0.1"],
          externalIps: [],
          clusterCidrs: ["10.42.0.0/16"],
          confFile: "/data/net-conf.json",
          settings: { backend: "vxlan", masqueradesIpv6: false, usesExternalIp: false },
          files: { iface: undefined, confFile: undefined, cniConfFile: undefined },
          onRange: async ({ podCidrs, mtu }) => void ranges.push(`${podCidrs} ${mtu}`),
        }),
      health: () => ({ ok: true }),
    },
  ]);
  return { runtime, api, ranges, executor };
}

/** What another node tells of itself. */
function toldBy(last: number): Readonly<Record<string, string>> {
  const data = `{"VNI":1,"VtepMAC":"0e:00:00:00:00:0${last}"}`;
  return { "backend-type": "vxlan", "backend-data": data, "public-ip": `10.0.0.${last}` };
}

test("startOverlay() tells of its node, follows others, takes new addresses, stops", async () => {
  const { batches, run } = commands();
  const { runtime, api, ranges, executor } = await overlayOf(run);
  await runtime.clock.advance(1);
  expect(ranges).toEqual([]);
  await api.patch(nodes, "", "own", "merge", { spec: { podCIDR: "10.42.3.0/24" } });
  await runtime.clock.advance(1);
  expect(ranges).toEqual(["10.42.3.0/24 1450"]);
  expect((await api.get(nodes, "", "own")).metadata.annotations).toEqual({
    [`${prefix}/kube-subnet-manager`]: "true",
    [`${prefix}/backend-type`]: "vxlan",
    [`${prefix}/backend-data`]: '{"VNI":1,"VtepMAC":"0e:00:00:00:00:01"}',
    [`${prefix}/public-ip`]: "127.0.0.1",
  });
  await api.create(nodes, node("other", "10.42.4.0/24", toldBy(2)));
  await runtime.clock.advance(1);
  expect(batches).toContain(
    "route replace 10.42.4.0/24 via 10.42.4.0 dev flannel.1 proto 75 onlink",
  );
  await api.patch(nodes, "", "own", "merge", { spec: { podCIDR: "10.42.9.0/24" } });
  await runtime.clock.advance(1);
  expect(ranges.at(-1)).toBe("10.42.9.0/24 1450");
  await executor[Symbol.asyncDispose]();
});

test("startOverlay() does not miss a node that comes while another is being let in", async () => {
  let created: Promise<unknown> | undefined;
  const { batches, run } = commands(() => {
    created ??= third();
  });
  const { runtime, api, executor } = await overlayOf(run);
  const third = () => api.create(nodes, node("third", "10.42.5.0/24", toldBy(3)));
  await api.patch(nodes, "", "own", "merge", { spec: { podCIDR: "10.42.3.0/24" } });
  await runtime.clock.advance(1);
  await api.create(nodes, node("other", "10.42.4.0/24", toldBy(2)));
  await runtime.clock.advance(1);
  await created;
  await runtime.clock.advance(1);
  expect(batches).toContain(
    "route replace 10.42.5.0/24 via 10.42.5.0 dev flannel.1 proto 75 onlink",
  );
  await executor[Symbol.asyncDispose]();
});
