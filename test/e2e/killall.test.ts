/**
 * `k3 killall` leaves the machine as it was before the first start. Four things stay, as with
 * K3s: the data directory, what the kubelet notes on pods, their logs and kernel modules that were
 * loaded.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, Cluster, reasonToSkip } from "./cluster.ts";
import { machineSnapshot, type Snapshot } from "./machine-snapshot.ts";
import { tracingWorkload } from "./tracing-workload.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: killall: ${skip}`);

describe.skipIf(skip !== undefined)("killall", () => {
  let cluster: Cluster;
  let before: Snapshot;

  const snapshot = (): Snapshot => {
    const all = machineSnapshot(join(cluster.dataDir, "data/current/bin"));
    const isNote = (path: string): boolean => /^\/var\/lib\/kubelet\/\w+_state$/.test(path);
    return { ...all, files: (all.files ?? []).filter((path) => !isNote(path)) };
  };

  beforeAll(async () => {
    cluster = new Cluster();
    // Any bundled program unpacks them all.
    expect(await command("ctr", "--version")).toBe(0);
    // An earlier k3 may have left it on; this one is to set it and to set it back.
    writeFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "0");
    await cluster.until("no address is new", async () => {
      before = snapshot();
      return !before.addresses?.some((line) => line.includes(" tentative "));
    });
    await cluster.start();
    await cluster.run("apply -f -", tracingWorkload);
    await cluster.run("rollout status deployment/web --timeout=60s");
    await cluster.run("wait --for=condition=Ready pod/port pod/host --timeout=60s");
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  async function command(name: string, ...args: readonly string[]): Promise<number> {
    const argv = [binary, name, ...args];
    const env = { ...process.env, K3S_DATA_DIR: cluster.dataDir };
    return await Bun.spawn(argv, { env, stdout: "ignore" }).exited;
  }

  test("the running node shows in every part of the comparison but the rules of routing", () => {
    const now = snapshot();
    const equal = Object.keys(now).filter((part) => Bun.deepEquals(now[part], before[part]));
    expect(equal).toEqual(["rules"]);
  });

  test("after killall of the running node nothing differs", async () => {
    expect(await command("killall")).toBe(0);
    expect(snapshot()).toEqual(before);
  });

  test("killall once more is fine", async () => {
    expect(await command("killall")).toBe(0);
    expect(snapshot()).toEqual(before);
  });

  test("the node starts again with the pods it had", async () => {
    await cluster.start();
    await cluster.run("rollout status deployment/web --timeout=60s");
    await cluster.run("wait --for=condition=Ready pod/port pod/host --timeout=60s");
    await cluster.run("exec port -- wget -q -O /dev/null http://web/etc/hostname");
  });

  test("after a crash of k3 and containerd killall ends the pods that live on", async () => {
    await cluster.crash();
    const pid = Number(await Bun.file("/run/k3s/containerd/k3.pid").text());
    process.kill(pid, "SIGKILL");
    expect(await command("killall")).toBe(0);
    expect(snapshot()).toEqual(before);
  });
});
