/**
 * The server as a process: what it tells the service manager, the files it writes and reads, who
 * may run beside it, how it renews its certificates and how it stops.
 */
import { dlopen, ptr } from "bun:ffi";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketAddress } from "../../src/runtime/notify.ts";
import { binary } from "./cluster.ts";
import { freePort } from "./free-port.ts";

function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root, as k3 server does";
  if (!existsSync(binary)) return `needs ${binary}: run scripts/build first`;
  return undefined;
}
const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: the server as a process: ${skip}`);

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  close: { args: ["int"], returns: "int" },
});

/** A service manager's socket. */
class Manager {
  readonly path = join(mkdtempSync(join(tmpdir(), "k3-notify-")), "socket");
  readonly #socket = libc.socket(1, 2, 0);
  readonly #heard: string[] = [];
  /** As a service manager does it: nothing waits long. */
  readonly #listening = setInterval(() => this.#hear(""), 50);

  constructor() {
    const address = socketAddress(this.path) ?? new Uint8Array();
    expect(libc.bind(this.#socket, ptr(address), address.length)).toBe(0);
  }

  /** Takes what waits, and tells whether `word` was among it since the last time it was heard. */
  #hear(word: string): boolean {
    const bytes = new Uint8Array(256);
    const dontWait = 0x40;
    for (;;) {
      const count = Number(libc.recv(this.#socket, ptr(bytes), bytes.length, dontWait));
      if (count < 0) break;
      this.#heard.push(new TextDecoder().decode(bytes.subarray(0, count)));
    }
    const at = this.#heard.indexOf(word);
    if (at >= 0) this.#heard.splice(0, at + 1);
    return at >= 0;
  }

  async until(word: string): Promise<void> {
    const end = Date.now() + 20_000;
    while (!this.#hear(word)) {
      if (Date.now() > end) throw new Error(`Waited in vain for ${word}`);
      await Bun.sleep(10);
    }
  }

  close(): void {
    clearInterval(this.#listening);
    libc.close(this.#socket);
  }
}
describe.skipIf(skip !== undefined)("the server as a process", () => {
  const folder = mkdtempSync(join(tmpdir(), "k3-process-"));
  const dataDir = join(folder, "data");
  const kubeconfig = join(folder, "k3.yaml");
  const logFile = join(folder, "logs/k3.log");
  const config = join(folder, "config.yaml");
  let port = 0;
  let manager: Manager;
  let server: Bun.Subprocess<"ignore", "pipe", "pipe">;

  beforeAll(async () => {
    port = freePort();
    manager = new Manager();
    await Bun.write(
      config,
      "node-name: from-file\ntls-san: [one.example]\nwrite-kubeconfig-name: a\n",
    );
    mkdirSync(`${config}.d`);
    await Bun.write(`${config}.d/10.yaml`, "tls-san+: ['*.two.example']\nlog: overruled\n");
    await Bun.write(`${config}.d/20.yaml`, `log: ${logFile}\nwrite-kubeconfig-name: home\n`);
    server = start();
    await manager.until("READY=1");
  });
  afterAll(async () => {
    server?.kill("SIGKILL");
    await server?.exited;
    manager?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(
    flags: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const argv = [
      binary,
      "server",
      "--disable-agent",
      `--config=${config}`,
      `--https-listen-port=${port}`,
      "--vmodule=cert*=4",
      ...flags,
    ];
    return Bun.spawn(argv, {
      env: {
        PATH: process.env.PATH ?? "",
        HOME: folder,
        K3S_DATA_DIR: dataDir,
        K3S_KUBECONFIG_OUTPUT: kubeconfig,
        K3S_KUBECONFIG_MODE: "640",
        K3S_KUBECONFIG_GROUP: "daemon",
        K3S_NODE_NAME: "not-asked",
        NOTIFY_SOCKET: manager.path,
        WATCHDOG_USEC: "200000",
        ...env,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async function kubectl(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, KUBECONFIG: kubeconfig, K3S_DATA_DIR: dataDir };
    const child = Bun.spawn([binary, "kubectl", ...args], { env, stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return (await child.exited) === 0 ? out : err;
  }

  /** The output and exit code of a start that is refused. */
  async function refusal(flags: readonly string[]): Promise<string> {
    const child = start(flags);
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect(code).toBe(1);
    expect(out).toBe("");
    return err;
  }

  test("signs of life reach the service manager while the server runs", async () => {
    await manager.until("WATCHDOG=1");
    await manager.until("WATCHDOG=1");
  });

  test("arguments, file, drop-ins and environment are merged as K3s does it", () => {
    const serving = new X509Certificate(
      readFileSync(join(dataDir, "server/tls/serving-kube-apiserver.crt")),
    );
    expect(serving.subjectAltName).toContain("DNS:one.example");
    expect(serving.checkHost("any.two.example")).toBe("*.two.example");
    expect(serving.subjectAltName).toContain("DNS:from-file");
    const text = readFileSync(kubeconfig, "utf8");
    expect(text).toContain("current-context: home");
    const { mode, gid } = statSync(kubeconfig);
    expect(mode & 0o777).toBe(0o640);
    expect(gid).toBe(1);
  });

  test("the log is in its file, and only there", () => {
    expect(readFileSync(logFile, "utf8")).toContain("k3 is up and running");
  });

  const kubeconfigs = [
    ["server/cred/admin.kubeconfig", "can-i", "*", "*"],
    ["server/cred/supervisor.kubeconfig", "can-i", "*", "*"],
    ["server/cred/api-server.kubeconfig", "can-i", "*", "*"],
    ["server/cred/controller.kubeconfig", "can-i", "create", "serviceaccounts"],
    ["server/cred/scheduler.kubeconfig", "can-i", "create", "bindings"],
    ["agent/kubelet.kubeconfig", "can-i", "create", "nodes"],
    ["agent/kubeproxy.kubeconfig", "can-i", "list", "endpointslices"],
  ] as const;
  for (const [file, ...args] of kubeconfigs) {
    test(`${file} speaks for its component`, async () => {
      const path = join(dataDir, file);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(await kubectl(`--kubeconfig=${path}`, "auth", ...args)).toBe("yes\n");
    });
  }

  test("health checks have upstream's names and can be asked for and left out singly", async () => {
    expect(await kubectl("get", "--raw", "/readyz")).toBe("ok");
    const verbose = await kubectl("get", "--raw", "/readyz?verbose&exclude=log&exclude=other");
    expect(verbose).toContain(
      "[+]ping ok\n[+]log excluded: ok\n[+]etcd ok\n[+]etcd-readiness ok\n",
    );
    expect(verbose).toContain("[+]poststarthook/rbac/bootstrap-roles ok\n");
    expect(verbose).toEndWith(
      'warn: some health checks cannot be excluded: no matches for "other"\nreadyz check passed\n',
    );
    expect(await kubectl("get", "--raw", "/livez/etcd")).toBe("ok");
    expect(await kubectl("get", "--raw", "/livez/shutdown")).toContain("NotFound");
  });

  test("a second server on the same data directory is refused", async () => {
    expect(await refusal([`--https-listen-port=${freePort()}`, "--log="])).toBe(
      `Cannot run k3 server: process ${server.pid} runs a server in ${dataDir} already\n`,
    );
  });

  test("a port that is taken is named", async () => {
    const said = await refusal([`--data-dir=${join(folder, "other")}`, "--log="]);
    expect(said).toContain(`Cannot listen on [::]:${port}: the port is taken by another process`);
    expect(said).not.toMatch(/^\s+at /m);
  });

  test("SIGTERM stops the server in order, with exit code 0", async () => {
    server.kill("SIGTERM");
    await manager.until("STOPPING=1");
    expect(await server.exited).toBe(0);
    expect(readFileSync(logFile, "utf8")).toEndWith("k3 has stopped\n");
    expect(await new Response(server.stderr).text()).toBe("");
  });

  test("certificates with less than 120 days left are renewed at the start", async () => {
    const file = join(dataDir, "server/tls/client-admin.crt");
    const read = () => new X509Certificate(readFileSync(file));
    const first = read();
    server = start([], { CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS: "100" });
    await manager.until("READY=1");
    // A year is left: nothing was made.
    expect(read().serialNumber).toBe(first.serialNumber);
    rmSync(file);
    await stop();
    server = start([], { CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS: "100" });
    await manager.until("READY=1");
    const short = read();
    expect(new Date(short.validTo).getTime()).toBeLessThan(Date.now() + 101 * 86_400_000);
    await stop();
    server = start();
    await manager.until("READY=1");
    expect(new Date(read().validTo).getTime()).toBeGreaterThan(Date.now() + 360 * 86_400_000);
    expect(await kubectl("get", "--raw", "/readyz")).toBe("ok");
  });

  async function stop(): Promise<void> {
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
  }
});
