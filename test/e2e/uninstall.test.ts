/**
 * `k3 uninstall` leaves a machine as it was before k3 was installed: a server with a service of
 * systemd, and an agent. Both are machines of their own, whose programs and settings lie in layers
 * above this one's.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finished, Machine, Switch } from "../machines/machine.ts";
import { binary, reasonToSkip, testImageArchive } from "./cluster.ts";
import type { Snapshot } from "./machine-snapshot.ts";
import { tracingWorkload } from "./tracing-workload.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: uninstall: ${skip}`);

const snapshotFolders = [
  "/etc",
  "/usr/local",
  "/var/lib/rancher",
  "/var/log/pods",
  "/var/log/containers",
];
const dataDir = "/var/lib/rancher/k3s";

const unit = `[Service]
Type=notify
ExecStart=/usr/local/bin/k3s \\
    server \\
\t'--write-kubeconfig=/etc/k3.yaml' \\

`;

describe.skipIf(skip !== undefined)("uninstall", () => {
  const tools = mkdtempSync(join(tmpdir(), "k3-uninstall-"));
  const layers = join(tools, "layers");
  const calls = join(layers, "systemctl.log");
  /** In place of the real one, which asks the first process: this one keeps a list. */
  const systemctl = `#!/bin/sh
echo "$@" >> ${calls}
[ "$1" = stop ] && kill $(cat /run/k3s-server.pid)
exit 0
`;
  let network: Switch;
  let server: Machine;
  let agent: Machine;
  let before: readonly [server: Snapshot, agent: Snapshot];

  const shell = (machine: Machine, text: string): Promise<string> =>
    machine.run(["bash", "-ec", text]);

  async function snapshot(machine: Machine): Promise<Snapshot> {
    const script = join(import.meta.dir, "machine-snapshot.ts");
    const bin = join(tools, "data/current/bin");
    return JSON.parse(await machine.run([process.execPath, script, bin, ...snapshotFolders]));
  }

  async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + 60_000;
    while (!(await condition())) {
      if (Date.now() > end)
        throw new Error(`${what}: waited in vain\n${readFileSync(join(tools, "server.log"))}`);
      await Bun.sleep(50);
    }
  }

  const kubectl = (line: string, stdin = ""): Promise<string> =>
    server.run([binary, "kubectl", "--kubeconfig=/etc/k3.yaml", ...line.split(" ")], stdin);

  /** Gives the machine layers that the test may write to. */
  async function prepare(machine: Machine): Promise<void> {
    await shell(
      machine,
      `mkdir -p ${layers}; mount -t tmpfs tmpfs ${layers}
       for dir in etc usr/local; do
         mkdir -p ${layers}/$dir/upper ${layers}/$dir/work
         mount -t overlay overlay /$dir -o \
           lowerdir=/$dir,upperdir=${layers}/$dir/upper,workdir=${layers}/$dir/work
       done
       rm -rf /etc/rancher`,
    );
    await until("no address is new", async () => {
      return !(await machine.run(["ip", "-o", "address"])).includes(" tentative ");
    });
  }

  function giveImages(machine: Machine): void {
    const images = machine.folder(`${dataDir}/agent/images`);
    mkdirSync(images, { recursive: true });
    copyFileSync(testImageArchive, join(images, "busybox.tar"));
  }

  async function install(): Promise<void> {
    for (const [path, text] of [
      ["/usr/local/bin/systemctl", systemctl],
      ["/etc/systemd/system/k3s.service", unit],
      ["/etc/systemd/system/k3s.service.env", "K3S_DEBUG='true'\n"],
    ] as const)
      await server.run(
        ["bash", "-ec", `mkdir -p ${path.replace(/[^/]+$/, "")}; cat > ${path}`],
        text,
      );
    await shell(
      server,
      `chmod +x /usr/local/bin/systemctl
       ln -s ${binary} /usr/local/bin/k3s
       cd /usr/local/bin; for name in kubectl crictl ctr k3s-killall.sh k3s-uninstall.sh; do
         ln -sf k3s $name; done`,
    );
    const argv = ["/usr/local/bin/k3s", "server", "--write-kubeconfig=/etc/k3.yaml"];
    server.spawn("k3s-server", [...argv, "--debug"], join(tools, "server.log"));
  }

  const called = (machine: Machine, ...argv: readonly string[]): Promise<Finished> =>
    machine.attempt(["bash", "-c", `PATH=/usr/local/bin:$PATH exec "$@"`, "bash", ...argv]);

  beforeAll(async () => {
    const env = { ...process.env, K3S_DATA_DIR: tools };
    // Any bundled program unpacks them all: the tests' own, outside of what is compared.
    await Bun.spawn([binary, "ctr", "--version"], { env, stdout: "ignore" }).exited;
    network = await Switch.open("k3-un-sw", "10.98.9");
    server = await Machine.start("un-server", network, 1);
    agent = await Machine.start("un-agent", network, 2);
    await Promise.all([prepare(server), prepare(agent)]);
    // The list of calls and the one who takes them belong to the test.
    await shell(server, "mkdir -p /etc/systemd/system; touch /usr/local/bin/systemctl");
    before = [await snapshot(server), await snapshot(agent)];
    giveImages(server);
    giveImages(agent);
    await install();
    await until("the nodes are there", async () => {
      const nodes = ["bash", "-c", `${binary} kubectl --kubeconfig=/etc/k3.yaml get nodes`];
      return (await server.attempt(nodes)).stdout.includes(" Ready ");
    });
    const token = await shell(server, `cat ${dataDir}/server/token`);
    const toJoin = [`--server=https://${server.address}:6443`, `--token=${token.trim()}`];
    agent.spawn("k3s-agent", [binary, "agent", ...toJoin], join(tools, "agent.log"));
    await until("the agent's node is Ready", async () => {
      return (await kubectl("get nodes")).split(" Ready ").length === 3;
    });
    await kubectl("apply -f -", tracingWorkload);
    await kubectl("rollout status deployment/web --timeout=60s");
    await kubectl("wait --for=condition=Ready pod/port pod/host --timeout=60s");
  }, 120_000);

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await agent?.[Symbol.asyncDispose]();
    await network?.[Symbol.asyncDispose]();
    rmSync(tools, { recursive: true, force: true });
  }, 60_000);

  test("an agent leaves nothing but what its cluster knows it by", async () => {
    const { code, stdout } = await called(agent, binary, "uninstall");
    expect(stdout).toContain("Stays: /etc/rancher/node, by which the cluster knows this machine");
    expect(code).toBe(0);
    await shell(agent, "rm -r /etc/rancher /run/k3s-agent.pid");
    expect(await snapshot(agent)).toEqual(before[1]);
  }, 60_000);

  test("what is mounted over by the machine's owner and what lies beside the data stays", async () => {
    await shell(server, `echo mine > ${dataDir}/mine; mkdir -p ${dataDir}/storage`);
    await shell(server, `mount -t tmpfs tmpfs ${dataDir}/storage; touch ${dataDir}/storage/volume`);
    const { code, stdout, stderr } = await called(server, "k3s-uninstall.sh");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain(`Stays: ${dataDir}, for what k3 has not made: mine, storage`);
    expect(await shell(server, `ls ${dataDir}/storage; umount ${dataDir}/storage`)).toBe("");
    expect(await shell(server, `cat ${dataDir}/mine; rm -r ${dataDir} /run/k3s-server.pid`)).toBe(
      "mine\n",
    );
    expect((await shell(server, `cat ${calls}; rm ${calls}`)).split("\n")).toEqual([
      "stop k3s",
      "disable k3s",
      "reset-failed k3s",
      "daemon-reload",
      "",
    ]);
  }, 60_000);

  test("a server leaves nothing", async () => {
    expect(await snapshot(server)).toEqual(before[0]);
  });

  test("uninstall once more is fine", async () => {
    const again = await called(server, binary, "uninstall");
    expect(again).toEqual({ code: 0, stdout: "Ended 0 processes\n", stderr: "" });
    expect(await snapshot(server)).toEqual(before[0]);
  });
});
