/** `k3 crictl` and `k3 ctr` against the pods of a running node. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { binary, Cluster, type Result, reasonToSkip, testImage } from "./cluster.ts";
import { Terminal } from "./terminal.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: crictl: ${skip}`);

const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: talks, labels: {app: talks}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: ${testImage}
    command: [sh, -c, "echo one; echo two; i=0; while true; do i=$((i+1)); echo more $i; sleep 1; done"]
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec:
  restartPolicy: Never
  containers: [{name: once, image: "${testImage}", command: [sh, -c, "echo over; exit 3"]}]
`;

const age = "(\\d+ \\w+|Less than a second|About a minute) ago";
const id = "[0-9a-f]{13}";

/** Lines of a table, every run of two blanks or more a bar. */
const cells = (text: string): string[] =>
  text
    .trim()
    .split("\n")
    .map((line) => line.trim().replace(/ {2,}/g, "|"));

describe.skipIf(skip !== undefined)("crictl", () => {
  let cluster: Cluster;
  const env = () => ({ ...process.env, K3S_DATA_DIR: cluster.dataDir });

  async function k3(line: string | readonly string[]): Promise<Result> {
    const words = typeof line === "string" ? line.split(" ") : line;
    const child = Bun.spawn([binary, ...words], {
      env: env(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }
  async function crictl(line: string): Promise<string> {
    const { code, stdout, stderr } = await k3(`crictl ${line}`);
    if (code !== 0) throw new Error(`crictl ${line} ended with ${code}: ${stderr}`);
    return stdout;
  }
  const idOf = async (name: string) => (await crictl(`ps -a -q --name ^${name}$`)).trim();
  const podIdOf = async (name: string) => (await crictl(`pods -q --name ^${name}$`)).trim();

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    await cluster.run("apply -f -", manifest);
    await cluster.run("wait pod/talks --for=condition=Ready --timeout=60s");
    await cluster.run("wait pod/done --for=jsonpath={.status.phase}=Failed --timeout=60s");
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  test("ps lists what runs, with crictl's columns", async () => {
    const lines = cells(await crictl("ps"));
    expect(lines[0]).toBe("CONTAINER|IMAGE|CREATED|STATE|NAME|ATTEMPT|POD ID|POD|NAMESPACE");
    expect(lines).toHaveLength(2);
    const image = `(${id}|${testImage})`;
    const row = `^${id}\\|${image}\\|${age}\\|Running\\|main\\|0\\|${id}\\|talks\\|default$`;
    expect(lines[1]).toMatch(new RegExp(row));
    expect(await crictl("ps")).toStartWith("CONTAINER           IMAGE  ");
  });

  test("ps selects by state, name, image, pod and label", async () => {
    expect(cells(await crictl("ps -a"))).toHaveLength(3);
    expect(cells(await crictl("ps --state exited"))[1]).toContain("|Exited|once|0|");
    expect(cells(await crictl("ps -a --name on.e"))).toHaveLength(2);
    expect(cells(await crictl(`ps -a --image ${testImage}`))).toHaveLength(3);
    expect(await crictl("ps -a -q --image none:1")).toBe("");
    expect(cells(await crictl(`ps -p ${await podIdOf("talks")}`))).toHaveLength(2);
    expect(await crictl("ps -q --label io.kubernetes.pod.name=done")).toBe("");
    expect(cells(await crictl("ps -a -l"))).toHaveLength(2);
    expect((await crictl("ps -q --no-trunc")).trim()).toMatch(/^[0-9a-f]{64}$/);
    const { code, stderr } = await k3("crictl ps --state odd");
    expect([code, stderr]).toEqual([1, expect.stringContaining("--state=odd")]);
  });

  test("ps, pods, images and stats speak JSON and YAML", async () => {
    const { containers } = JSON.parse(await crictl("ps -o json"));
    expect(containers).toHaveLength(1);
    expect(containers[0]).toMatchObject({
      metadata: { name: "main", attempt: 0 },
      state: "CONTAINER_RUNNING",
      labels: { "io.kubernetes.pod.name": "talks" },
    });
    expect(containers[0].createdAt).toMatch(/^\d{19}$/);
    const { items } = JSON.parse(await crictl("pods -o json --name talks"));
    expect(items[0]).toMatchObject({ state: "SANDBOX_READY", metadata: { namespace: "default" } });
    expect(await crictl("images -o yaml")).toContain(`- ${testImage}\n`);
    const { stats } = JSON.parse(await crictl("stats -o json"));
    expect(stats[0].attributes.metadata.name).toBe("main");
    expect(Number(stats[0].memory.workingSetBytes.value)).toBeGreaterThan(0);
    expect((await k3("crictl ps -o odd")).stderr).toContain("--output=odd");
  });

  test("pods lists sandboxes", async () => {
    const lines = cells(await crictl("pods"));
    expect(lines[0]).toBe("POD ID|CREATED|STATE|NAME|NAMESPACE|ATTEMPT|RUNTIME");
    const talks = lines.find((line) => line.includes("|talks|"));
    expect(talks).toMatch(
      new RegExp(`^${id}\\|${age}\\|Ready\\|talks\\|default\\|0\\|\\(default\\)$`),
    );
    expect(await crictl("pods -q --state notready --name talks")).toBe("");
    expect(await crictl("pods -q --namespace ^kube-system$")).toBe("");
  });

  test("images lists tags, ids and sizes", async () => {
    const lines = cells(await crictl("images"));
    expect(lines[0]).toBe("IMAGE|TAG|IMAGE ID|SIZE");
    expect(lines).toContainEqual(
      expect.stringMatching(
        new RegExp(`^docker.io/library/k3-busybox\\|test\\|${id}\\|[\\d.]+MB$`),
      ),
    );
    expect(cells(await crictl("images --digests"))[0]).toBe("IMAGE|TAG|DIGEST|IMAGE ID|SIZE");
    expect((await crictl(`images -q ${testImage}`)).trim()).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("logs: tail, since, timestamps and follow", async () => {
    const container = await idOf("main");
    expect(await crictl(`logs ${container}`)).toStartWith("one\ntwo\nmore 1\n");
    expect(await crictl(`logs ${container.slice(0, 6)} --tail 0`)).toBe("");
    expect((await crictl(`logs --tail=1 ${container}`)).trim()).toMatch(/^more \d+$/);
    expect(await crictl(`logs --since 2100-01-01T00:00:00Z ${container}`)).toBe("");
    expect(await crictl(`logs --since 1h --limit-bytes 7 ${container}`)).toBe("one\ntwo");
    expect(await crictl(`logs -t ${container}`)).toMatch(/^\d{4}-\S+T\S+ one\n/);
    const follower = new Terminal(
      [binary, "crictl", "logs", "-f", "--tail=0", container],
      env() as never,
    );
    await follower.until(/more \d+\s+more \d+/);
    follower.kill();
    await follower.ended();
    expect(await crictl(`logs -f ${await idOf("once")}`)).toBe("over\n");
    expect((await k3(`crictl logs -p ${container}`)).stderr).toContain("has no previous one");
    expect((await k3("crictl logs nosuch")).code).toBe(1);
  });

  test("exec: output, exit codes, sync and a terminal", async () => {
    const container = await idOf("main");
    const script = "echo out; echo err >&2; exit 7";
    for (const mode of [[], ["-s"]]) {
      const told = await k3(["crictl", "exec", ...mode, container, "sh", "-c", script]);
      expect(told.code).toBe(7);
      expect(told.stdout).toBe("out\n");
      expect(told.stderr).toContain("err\n");
    }
    const slow = await k3(["crictl", "exec", "-s", "--timeout", "1", container, "sleep", "60"]);
    expect([slow.code, slow.stderr]).toEqual([1, expect.stringContaining("DeadlineExceeded")]);
    const words = ["crictl", "exec", "-it", container, "sh"];
    const terminal = new Terminal([binary, ...words], env() as never);
    await terminal.until(/\/ # /);
    terminal.write("tty; stty size; exit 5\n");
    await terminal.until(/\/dev\/pts\/\d+\s+24 80/);
    expect(await terminal.ended()).toBe(5);
  });

  test("inspect tells status and what containerd knows", async () => {
    const { status, info } = JSON.parse(await crictl(`inspect ${await idOf("main")}`));
    expect(status).toMatchObject({ state: "CONTAINER_RUNNING", metadata: { name: "main" } });
    expect(status.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
    expect(info.pid).toBeGreaterThan(1);
    expect(info.runtimeSpec.process.args[0]).toBe("sh");
    const pod = JSON.parse(await crictl(`inspectp ${await podIdOf("talks")}`));
    expect(pod.status).toMatchObject({ state: "SANDBOX_READY", metadata: { name: "talks" } });
    expect(pod.status.network.ip).toMatch(/^10\.42\./);
    expect(await crictl(`inspectp -o yaml ${await podIdOf("talks")}`)).toContain("name: talks\n");
    const image = JSON.parse(await crictl(`inspecti ${testImage}`));
    expect(image.status.repoTags).toEqual([testImage]);
    expect(image.info.imageSpec.architecture).toMatch(/^(amd64|arm64)$/);
    expect(await k3("crictl inspecti none:1")).toMatchObject({
      code: 1,
      stderr: 'no such image "none:1" present\n',
    });
    expect((await k3("crictl inspect nosuch")).stderr).toContain("code = NotFound");
  });

  test("info, version and imagefsinfo", async () => {
    const info = JSON.parse(await crictl("info"));
    const ready = info.status.conditions.map((one: { type: string; status: boolean }) => [
      one.type,
      one.status,
    ]);
    expect(ready.slice(0, 2)).toEqual([
      ["RuntimeReady", true],
      ["NetworkReady", true],
    ]);
    expect(info.config.containerd).toBeDefined();
    expect(await crictl("version")).toMatch(
      /^Version: {2}0\.1\.0\nRuntimeName: {2}containerd\nRuntimeVersion: {2}\S+\nRuntimeApiVersion: {2}v1\n$/,
    );
    const { status } = JSON.parse(await crictl("imagefsinfo"));
    expect(status.imageFilesystems[0].fsId.mountpoint).toContain("snapshotter");
  });

  test("stats and statsp measure", async () => {
    expect(cells(await crictl("stats -a"))).toHaveLength(3);
    const [heads, row = ""] = cells(await crictl("stats"));
    expect(heads).toBe("CONTAINER|NAME|CPU %|MEM|DISK|INODES|SWAP");
    expect(row).toMatch(new RegExp(`^${id}\\|main\\|\\d+\\.\\d\\d\\|[\\d.]+[kM]B\\|`));
    const pods = cells(await crictl(`statsp ${await podIdOf("talks")}`));
    expect(pods[0]).toBe("POD|POD ID|CPU %|MEM");
    expect(pods[1]).toMatch(new RegExp(`^talks\\|${id}\\|\\d+\\.\\d\\d\\|[\\d.]+[kM]B$`));
  });

  test("rm and rmp refuse what runs; stop, stopp and -f end it", async () => {
    const container = await idOf("main");
    const refused = await k3(`crictl rm ${container}`);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining("is running, please stop it first"),
    ]);
    const once = await idOf("once");
    expect((await crictl(`rm ${once}`)).trim()).toBe(once);
    expect((await crictl(`stop ${container}`)).trim()).toBe(container);
    await cluster.until("the kubelet has started it anew", async () => {
      return (await crictl("ps -q --name ^main$")).trim() !== "";
    });
    const again = (await crictl("ps -q --name ^main$")).trim();
    expect((await crictl(`rm -f ${again}`)).trim()).toBe(again);
    const pod = await podIdOf("done");
    expect(await crictl(`stopp ${pod}`)).toBe(`Stopped sandbox ${pod}\n`);
    expect(await crictl(`rmp ${pod}`)).toBe(`Removed sandbox ${pod}\n`);
    expect((await k3("crictl rmp")).stderr).toContain("Usage: k3 crictl rmp");
  });

  test("pull tells why it cannot, rmi removes", async () => {
    const pulled = await k3("crictl pull 127.0.0.1:1/none:1");
    expect(pulled.code).toBe(1);
    expect(pulled.stderr).toContain("failed to pull and unpack image");
    await cluster.run("delete pod talks done --force --grace-period=0");
    await cluster.until("no container is left", async () => (await crictl("ps -a -q")) === "");
    expect(await crictl(`rmi ${testImage}`)).toBe(`Deleted: ${testImage}\n`);
    expect(await crictl(`images -q ${testImage}`)).toBe("");
    expect(await k3("crictl rmi none:1")).toMatchObject({ code: 1 });
  });

  test("unknown commands and closed sockets are told of", async () => {
    expect((await k3("crictl imags")).stderr).toContain("did you mean images?");
    expect((await k3("crictl ps --help")).stdout).toStartWith("Usage:\n   k3 crictl ps ");
    const closed = await k3("crictl -r unix:///nosuch.sock ps");
    expect([closed.code, closed.stderr]).toEqual([1, expect.stringContaining("/nosuch.sock")]);
  });

  test("ctr works on k3's containerd, in Kubernetes' namespace", async () => {
    expect((await k3("ctr version")).stdout).toContain("Server:\n  Version:");
    expect((await k3("ctr namespaces ls -q")).stdout).toContain("k8s.io");
    expect((await k3("ctr images ls -q")).stdout).toContain("pause");
    const missing = await k3("ctr task kill nosuch");
    expect(missing.code).not.toBe(0);
  });
});
