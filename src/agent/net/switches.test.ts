import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { restoreSwitches, setSwitches } from "./switches.ts";

const forward = "/proc/sys/net/ipv4/ip_forward";
const localnet = "/proc/sys/net/ipv4/conf/all/route_localnet";
const ledger = "/run/k3s/switches.json";

test("restoreSwitches() brings back what setSwitches() changed, over many starts", async () => {
  const runtime = createSimulatedRuntime(1);
  const { files } = runtime;
  await files.writeAtomic(forward, "1\n", 0o644);
  await files.writeAtomic(localnet, "0\n", 0o644);
  await setSwitches(runtime, ["IPv4"], ledger);
  await setSwitches(runtime, ["IPv4"], ledger);
  expect(await files.readText(localnet)).toBe("1");
  await files.writeInPlace(localnet, "0");
  await setSwitches(runtime, ["IPv4"], ledger);
  await restoreSwitches(runtime, ledger);
  expect((await files.readText(localnet))?.trim()).toBe("0");
  expect((await files.readText(forward))?.trim()).toBe("1");
});

test("restoreSwitches() leaves what somebody else has changed since", async () => {
  const runtime = createSimulatedRuntime(1);
  const { files } = runtime;
  await files.writeAtomic(localnet, "0\n", 0o644);
  await setSwitches(runtime, ["IPv4"], ledger);
  await files.writeInPlace(localnet, "2");
  await restoreSwitches(runtime, ledger);
  expect(await files.readText(localnet)).toBe("2");
});
