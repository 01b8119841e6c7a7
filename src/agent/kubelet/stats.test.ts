import { expect, test } from "bun:test";
import { cpuNanosFrom, interfacesFrom, memoryFrom } from "./stats.ts";

test("the kernel's tables become usage", () => {
  // Idle and waiting time is not counted as busy.
  expect(cpuNanosFrom("cpu  10 1 5 1000 50 2 3 4 9 9\ncpu0 1 1 1 1\n")).toBe(250_000_000);
  const meminfo = [
    "MemTotal:        1000 kB",
    "MemFree:          300 kB",
    "Inactive(file):   200 kB",
    "AnonPages:        100 kB",
  ].join("\n");
  expect(memoryFrom(meminfo, "pgfault 7\npgmajfault 2\n", 5)).toEqual({
    timeMs: 5,
    usageBytes: 700 * 1024,
    workingSetBytes: 500 * 1024,
    availableBytes: 500 * 1024,
    rssBytes: 100 * 1024,
    pageFaults: 7,
    majorPageFaults: 2,
  });
  const dev = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs ...",
    "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0",
    "  eth0:123456 9 1 0 0 0 0 0 654 8 2 0 0 0 0 0",
  ].join("\n");
  const eth0 = { name: "eth0", rxBytes: 123456, rxErrors: 1, txBytes: 654, txErrors: 2 };
  expect(interfacesFrom(dev)).toEqual([eth0]);
});
