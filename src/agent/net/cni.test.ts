import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { writeCniConfig } from "./cni.ts";

const runtime = createSimulatedRuntime(1);
const place = { dir: "/net.d", podCidrs: ["10.42.3.0/24"], leaseDir: "/leases", mtu: 1450 };
const written = async (): Promise<unknown> =>
  JSON.parse((await runtime.files.readText("/net.d/10-flannel.conflist")) ?? "");

test("writeCniConfig() gives pods addresses of the node's range", async () => {
  await writeCniConfig(runtime, { ...place, given: undefined });
  const ranges = [[{ subnet: "10.42.3.0/24" }]];
  expect(await written()).toMatchObject({
    name: "cbr0",
    plugins: [{ type: "bridge", mtu: 1450, ipam: { dataDir: "/leases", ranges } }, {}],
  });
});

test("writeCniConfig() gives pods an address of each range", async () => {
  const podCidrs = ["10.42.3.0/24", "fd00:42:0:3::/64"];
  await writeCniConfig(runtime, { ...place, podCidrs, given: undefined });
  const ranges = podCidrs.map((subnet) => [{ subnet }]);
  expect(await written()).toMatchObject({ plugins: [{ ipam: { ranges } }, {}] });
});

test("writeCniConfig() takes a given file and does as flannel's plugin would", async () => {
  const delegate = { hairpinMode: true, mtu: 1300 };
  const list = {
    cniVersion: "1.0.0",
    name: "own",
    plugins: [{ type: "flannel", delegate }, { type: "tuning" }],
  };
  await runtime.files.writeAtomic("/own.conflist", JSON.stringify(list), 0o644);
  await writeCniConfig(runtime, { ...place, given: "/own.conflist" });
  const ranges = [[{ subnet: "10.42.3.0/24" }]];
  expect(await written()).toEqual({
    cniVersion: "1.0.0",
    name: "own",
    plugins: [
      {
        type: "bridge",
        bridge: "cni0",
        isGateway: true,
        ipMasq: false,
        mtu: 1300,
        hairpinMode: true,
        ipam: { type: "host-local", dataDir: "/leases", ranges },
      },
      { type: "tuning" },
    ],
  });
  const absent = writeCniConfig(runtime, { ...place, given: "/absent" });
  await expect(absent).rejects.toThrow("/absent cannot be read");
});
