/** Every day's commands on workloads and pods, by the embedded kubectl and by the machine's own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";
import {
  badCases,
  endCases,
  execCases,
  logCases,
  rolloutCases,
  runCases,
  showCases,
  startCases,
} from "./kubectl-pod-cases.ts";
import { type Case, check, type Kubectl, kubectlRun, kubectlsOf } from "./kubectls.ts";
import { Terminal } from "./terminal.ts";

/** Of busybox' shell, before it asks the terminal where the cursor is. */
const prompt = /\/ # /;

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: kubectl on pods: ${skip}`);

describe.skipIf(skip !== undefined)("kubectl on pods", () => {
  let cluster: Cluster;
  let kubectls: readonly Kubectl[] = [];

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    kubectls = await kubectlsOf(cluster, "pods");
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  const table = (name: string, cases: readonly Case[]) => {
    for (const one of cases) {
      const words = typeof one.run === "string" ? one.run : one.run.join(" ");
      test(`${name}: kubectl ${words}`, () => check(kubectls, one));
    }
  };
  const each = (name: string, run: (kubectl: Kubectl) => Promise<void>) =>
    test(name, async () => {
      await Promise.all(kubectls.map(run));
    });
  const open = (kubectl: Kubectl, line: string) =>
    new Terminal([kubectl.path, ...line.split(" ")], { KUBECONFIG: kubectl.kubeconfig });

  table("start", startCases);
  table("show", showCases);
  table("logs", logCases);

  each("exec -it has a terminal of the right size, which follows", async (kubectl) => {
    const terminal = open(kubectl, "exec -it p -c two -- sh");
    await terminal.until(prompt);
    terminal.write("tty; stty size\n");
    await terminal.until(/\/dev\/pts\/\d+\s+24 80/);
    terminal.resize(132, 43);
    // The new size is sent beside the stream: asked for until it is there.
    await terminal.until(/43 132/, () => terminal.write("stty size\n"));
    terminal.write("exit 6\n");
    expect(await terminal.ended()).toBe(6);
    expect(terminal.seen).toContain("command terminated with exit code 6");
  });

  each("exec -it passes an interrupt on", async (kubectl) => {
    const terminal = open(kubectl, "exec -it p -c two -- sh");
    await terminal.until(prompt);
    terminal.write("sleep 1000\n");
    await terminal.until(/sleep 1000\r\n/);
    // The first one may come before the shell has started the command.
    await terminal.until(/sleep 1000[\s\S]*\^C[\s\S]*\/ # /, () => terminal.write("\x03"));
    await terminal.until(/\r\n130\r\n/, () => terminal.write("echo $?\n"));
    terminal.write("exit\n");
    expect([0, 130]).toContain(await terminal.ended());
  });

  each("attach -it talks with the container's own process", async (kubectl) => {
    const terminal = open(kubectl, "attach -it p -c p");
    await terminal.until(/try pressing enter/);
    await terminal.until(/read "?\w*"?/, () => terminal.write("word\n"));
    expect(terminal.seen).toContain("read word");
    terminal.kill();
    await terminal.ended();
  });

  each("run -it --rm leaves nothing behind", async (kubectl) => {
    const line = `run it --image=${testImage} --rm -it --restart=Never -- sh`;
    const terminal = open(kubectl, line);
    await terminal.until(prompt, () => terminal.write("\n"));
    terminal.write("echo in $((40 + 2)); exit\n");
    await terminal.until(/in 42/);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.seen).toContain('pod "it" deleted');
  });

  each("cp carries files and folders both ways", async (kubectl) => {
    const folder = join(cluster.dataDir, `cp-${kubectl.id}`);
    mkdirSync(join(folder, "dir/sub"), { recursive: true });
    writeFileSync(join(folder, "dir/one"), "1\n");
    const large = "0123456789abcdef".repeat(100_000);
    writeFileSync(join(folder, "dir/sub/large"), large);
    const cp = async (from: string, to: string) => {
      const { code, stderr } = await kubectlRun(kubectl, { run: `cp ${from} ${to} -c two` });
      expect(`${code} ${stderr.replace(/^tar: removing leading.*\n/im, "")}`).toBe("0 ");
    };
    await cp(`${folder}/dir`, "p:/tmp/dir");
    await cp("{ns}/p:/tmp/dir", `${folder}/back`);
    expect(readFileSync(join(folder, "back/one"), "utf8")).toBe("1\n");
    expect(readFileSync(join(folder, "back/sub/large"), "utf8")).toBe(large);
    await cp(`${folder}/dir/one`, "p:/tmp/renamed");
    await cp("p:/tmp/renamed", `${folder}/single`);
    expect(readFileSync(join(folder, "single"), "utf8")).toBe("1\n");
    expect(existsSync(join(folder, "back/sub/large"))).toBe(true);
  });

  each("port-forward reaches a pod, a service and a deployment", async (kubectl) => {
    for (const target of ["deployment/web", "service/web"]) {
      const port = target === "service/web" ? ":80" : ":http";
      const terminal = open(kubectl, `port-forward ${target} ${port}`);
      const [, local] = await terminal.until(/Forwarding from 127\.0\.0\.1:(\d+) -> 8080/);
      const pages = await Promise.all(
        [1, 2, 3].map(async () => (await fetch(`http://127.0.0.1:${local}/`)).text()),
      );
      expect(new Set(pages)).toEqual(new Set([`hello from ${kubectl.namespace}\n`]));
      terminal.kill();
      await terminal.ended();
    }
    const terminal = open(kubectl, "port-forward pod/p :9");
    const [, local] = await terminal.until(/Forwarding from 127\.0\.0\.1:(\d+) -> 9/);
    await fetch(`http://127.0.0.1:${local}/`).catch(() => {});
    await terminal.until(/connection refused/);
    terminal.kill();
    await terminal.ended();
  });

  each("proxy serves the API and a service behind it", async (kubectl) => {
    const terminal = open(kubectl, "proxy --port=0");
    const [, address] = await terminal.until(/Starting to serve on (\S+)/);
    const root = `http://${address}/api/v1/namespaces/${kubectl.namespace}`;
    expect(await (await fetch(root)).json()).toMatchObject({ kind: "Namespace" });
    const page = await fetch(`${root}/services/web:http/proxy/index.html`);
    expect(await page.text()).toBe(`hello from ${kubectl.namespace}\n`);
    const moved = await fetch(`${root}/services/web/proxy`, { redirect: "manual" });
    expect([moved.status, moved.headers.get("location")]).toEqual([
      301,
      `/api/v1/namespaces/${kubectl.namespace}/services/web/proxy/`,
    ]);
    const refused = await fetch(`${root}/pods/p:9/proxy/`);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toMatch(/dial tcp [\d.]+:9: connect: connection refused/);
    terminal.kill();
    await terminal.ended();
  });

  table("exec", execCases);

  each("logs -f shows what comes until the container ends", async (kubectl) => {
    const command = "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; sleep 0.3; done";
    const run = ["run", "count", `--image=${testImage}`, "--restart=Never", "--", "sh", "-c"];
    await kubectlRun(kubectl, { run: [...run, command] });
    await check([kubectl], { run: "wait pod/count --for=condition=Ready --timeout=60s" });
    const { code, stdout } = await kubectlRun(kubectl, { run: "logs -f count" });
    expect([code, stdout]).toEqual([0, "line 1\nline 2\nline 3\nline 4\nline 5\n"]);
  });

  each("get -w shows every step of a pod's life", async (kubectl) => {
    const watch = open(kubectl, "get pods -l run=life -o wide -w --output-watch-events");
    const names = open(kubectl, "get pods -l run=life --watch-only -o name");
    const waiting = kubectlRun(kubectl, { run: "wait pod/life --for=create --timeout=60s" });
    const run = ["run", "life", `--image=${testImage}`, "--grace-period=1", "--", "sleep", "9"];
    await kubectlRun(kubectl, { run });
    // The watch may begin a moment after the pod did.
    await watch.until(/ADDED +life +0\/1 +(Pending|ContainerCreating) +0 +\d+s/);
    await watch.until(/(ADDED|MODIFIED) +life +0\/1 +ContainerCreating/);
    await watch.until(/MODIFIED +life +1\/1 +Running +0 +\d+s +[\d.]+ +k3-e2e/);
    await kubectlRun(kubectl, { run: "delete pod life --grace-period=1" });
    await watch.until(/MODIFIED +life +1\/1 +Terminating/);
    await watch.until(/DELETED +life/);
    await names.until(/pod\/life/);
    expect((await waiting).stdout).toBe("pod/life condition met\n");
    for (const terminal of [watch, names]) {
      terminal.kill();
      await terminal.ended();
    }
  });

  table("bad", badCases);
  table("rollout", rolloutCases);
  table("run", runCases);

  test("cordon, drain and uncordon, one kubectl after the other", async () => {
    for (const kubectl of kubectls) {
      const say = (one: Case) => check([kubectl], one);
      await say({ run: "cordon k3-e2e", out: "node/k3-e2e cordoned" });
      await say({ run: "cordon k3-e2e", out: "node/k3-e2e already cordoned" });
      await say({ run: "get node k3-e2e", has: ["Ready,SchedulingDisabled control-plane"] });
      await say({
        run: "drain k3-e2e --pod-selector=run=bg,t=1",
        code: 1,
        err: ["cannot delete Pods that declare no controller (use --force to override)"],
      });
      const drain = "drain k3-e2e --pod-selector=app=sts --ignore-daemonsets --timeout=60s";
      await say({ run: drain, has: ["evicting pod {any}/sts-0", "node/k3-e2e drained"] });
      await say({ run: "get pod sts-0", has: ["sts-0 0/1 Pending"], until: true });
      await say({ run: "uncordon k3-e2e", out: "node/k3-e2e uncordoned" });
      await say({ run: "uncordon k3-e2e", out: "node/k3-e2e already uncordoned" });
      await say({ run: "wait pod/sts-0 --for=condition=Ready --timeout=60s" });
    }
  });

  each("certificate approve gives a user a certificate that works", async (kubectl) => {
    const folder = join(cluster.dataDir, `csr-${kubectl.id}`);
    mkdirSync(folder);
    const key = join(folder, "user.key");
    const request = join(folder, "user.csr");
    const subject = `/CN=jane-${kubectl.id}/O=devs`;
    const made = Bun.spawnSync(
      `openssl req -new -newkey rsa:2048 -nodes -subj ${subject} -keyout ${key} -out ${request}`.split(
        " ",
      ),
    );
    expect(made.exitCode).toBe(0);
    const say = (one: Case) => check([kubectl], one);
    const csr = `apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: "{name}"}
spec:
  request: ${readFileSync(request).toString("base64")}
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 3600
  usages: [client auth]`;
    for (const name of ["jane-{id}", "jim-{id}"])
      await say({ run: "create -f -", stdin: csr.replace("{name}", name) });
    await say({
      run: "get csr jane-{id}",
      has: [
        `NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION\njane-{id} {age} kubernetes.io/kube-apiserver-client system:admin 60m Pending`,
      ],
    });
    await say({ run: "certificate deny jim-{id}", has: ["jim-{id} denied"] });
    await say({ run: "get csr jim-{id}", has: ["60m Denied"] });
    await say({ run: "certificate approve jim-{id}", code: 1, err: ["already Denied"] });
    await say({ run: "certificate approve jane-{id}", has: ["jane-{id} approved"] });
    await say({ run: "get csr jane-{id}", has: ["60m Approved,Issued"], until: true });
    await say({ run: "describe csr jane-{id}", has: ["Common Name: jane-{id}"] });
    const read = { run: "get csr jane-{id} -o jsonpath={.status.certificate}" };
    const { stdout } = await kubectlRun(kubectl, read);
    writeFileSync(join(folder, "user.crt"), Buffer.from(stdout, "base64"));
    const credentials = ["--client-key", key, "--client-certificate", join(folder, "user.crt")];
    await say({ run: ["config", "set-credentials", "jane", ...credentials] });
    await say({
      run: "auth whoami --user=jane",
      has: ["Username jane-{id}", "Groups [devs system:authenticated]"],
    });
  });

  table("end", endCases);
});
