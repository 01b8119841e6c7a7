/** k3 in the place of the kube-apiserver and etcd that tests of operators start. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateEcKey, issueCertificate, issuerOf, keyToPem } from "../../src/pki/x509.ts";
import { binary } from "./cluster.ts";
import { freePort } from "./free-port.ts";

const skip = existsSync(binary) ? undefined : `needs ${binary}: run scripts/build first`;
if (skip !== undefined) console.warn(`Left out test/e2e/control-plane.test.ts: ${skip}`);

const dir = mkdtempSync(join(tmpdir(), "k3-control-plane-"));
const startCpuMsMax = 1000;
let caKey: KeyObject;
let caPem: string;
let adminTls: { readonly cert: string; readonly key: string; readonly rejectUnauthorized: false };
let plane: ControlPlane;

function validity() {
  const now = Date.now();
  return { notBefore: new Date(now - 60_000), notAfter: new Date(now + 3_600_000) };
}
class ControlPlane {
  readonly #children: Bun.Subprocess[] = [];
  #api = "";
  #etcd = "";

  /** `omitted` is a flag that the API server is not given. */
  constructor(
    readonly dataDir: string,
    readonly omitted = "",
  ) {}

  /** Both programs, as envtest starts them; resolves when both are healthy. */
  async start(): Promise<void> {
    this.#etcd = `http://127.0.0.1:${freePort()}`;
    this.#spawn("etcd", [
      `--advertise-client-urls=${this.#etcd}`,
      `--data-dir=${this.dataDir}`,
      `--listen-client-urls=${this.#etcd}`,
      "--listen-peer-urls=http://127.0.0.1:0",
    ]);
    await this.#until(`${this.#etcd}/health`);
    const port = freePort();
    this.#api = `https://127.0.0.1:${port}`;
    this.#spawn(
      "kube-apiserver",
      this.flags(port).filter((flag) => flag.split("=")[0] !== this.omitted),
    );
    await this.#until(`${this.#api}/healthz`);
  }

  flags(port: number, etcd = this.#etcd): readonly string[] {
    return [
      "--allow-privileged=true",
      "--authorization-mode=RBAC",
      "--bind-address=127.0.0.1",
      `--cert-dir=${dir}/certs`,
      `--client-ca-file=${dir}/ca.crt`,
      "--disable-admission-plugins=ServiceAccount",
      `--etcd-servers=${etcd}`,
      `--secure-port=${port}`,
      `--service-account-issuer=${this.#api}/`,
      `--service-account-key-file=${dir}/sa.key`,
      `--service-account-signing-key-file=${dir}/sa.key`,
      "--service-cluster-ip-range=10.0.0.0/24",
    ];
  }

  #spawn(name: string, flags: readonly string[]): void {
    const log = Bun.file(join(dir, `${name}.log`));
    this.#children.push(
      Bun.spawn([join(dir, name), ...flags], { stdout: log, stderr: log, stdin: "ignore" }),
    );
  }

  async #until(url: string): Promise<void> {
    const end = Date.now() + 30_000;
    while (Date.now() < end) {
      const tls = { rejectUnauthorized: false };
      const answer = await fetch(url, { tls }).catch(() => undefined);
      if (answer?.ok) return;
      const ended = this.#children.find(({ exitCode }) => exitCode !== null);
      if (ended !== undefined) throw new Error(`A program ended; its log is in ${dir}`);
      await Bun.sleep(10);
    }
    throw new Error(`${url} did not answer in time`);
  }

  async ask(path: string, init: RequestInit = {}, tls: object = adminTls) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${this.#api}${path}`, { headers, ...init, tls });
    const text = await answer.text();
    return { status: answer.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  }

  create(path: string, object: object) {
    return this.ask(path, { method: "POST", body: JSON.stringify(object) });
  }

  /** Milliseconds of the processor that both took, known once they have stopped. */
  cpuMs = 0;

  /** Ends both, the API server first; resolves to their exit codes. */
  async stop(): Promise<readonly number[]> {
    const codes: number[] = [];
    this.cpuMs = 0;
    for (const child of this.#children.splice(0).reverse()) {
      child.kill("SIGTERM");
      codes.push(await child.exited);
      this.cpuMs += Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000;
    }
    return codes;
  }
}

describe.skipIf(skip !== undefined)("a bare control plane", () => {
  beforeAll(async () => {
    for (const name of ["etcd", "kube-apiserver"]) symlinkSync(binary, join(dir, name));
    mkdirSync(join(dir, "certs"));
    const sans = { dnsNames: [], ips: [] };
    caKey = await generateEcKey();
    const ca = {
      subject: { commonName: "test-ca", organizations: [] },
      usage: "authority",
    } as const;
    caPem = issueCertificate(
      { ...ca, sans, publicKey: createPublicKey(caKey), ...validity() },
      caKey,
    );
    writeFileSync(join(dir, "ca.crt"), caPem);
    writeFileSync(join(dir, "sa.key"), keyToPem(await generateEcKey()));
    const key = await generateEcKey();
    const subject = { commonName: "admin", organizations: ["system:masters"] };
    const cert = issueCertificate(
      { subject, usage: "client", sans, publicKey: createPublicKey(key), ...validity() },
      issuerOf(caPem, keyToPem(caKey)),
    );
    adminTls = { cert, key: keyToPem(key), rejectUnauthorized: false };
    plane = new ControlPlane(join(dir, "data"));
  });

  afterAll(async () => {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test("a pair of etcd and kube-apiserver is up within a second, and keeps its data", async () => {
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      await plane.start();
      const name = { metadata: { name: `round-${round}` } };
      expect((await plane.create("/api/v1/namespaces", name)).status).toBe(201);
      expect(await plane.stop()).toEqual([0, 0]);
      times.push(plane.cpuMs);
    }
    // Of the processor, from the start to the end: on a busy machine a clock tells nothing.
    expect(Math.min(...times)).toBeLessThan(startCpuMsMax);
    await plane.start();
    const { body } = await plane.ask("/api/v1/namespaces");
    const names = body.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    expect(names).toEqual([
      "default",
      "kube-node-lease",
      "kube-public",
      "kube-system",
      "round-0",
      "round-1",
      "round-2",
    ]);
  });

  test("it is an API server alone: nothing acts on objects, and strangers are nobody", async () => {
    const pod = {
      metadata: { name: "web" },
      spec: { containers: [{ name: "web", image: "web" }] },
    };
    // Without the ServiceAccount plugin, which is off here, nobody misses the account.
    const created = await plane.create("/api/v1/namespaces/default/pods", pod);
    expect(created.status).toBe(201);
    expect(created.body.spec.serviceAccountName).toBeUndefined();
    const deleted = await plane.ask("/api/v1/namespaces/round-0", { method: "DELETE" });
    expect(deleted.body.status.phase).toBe("Terminating");
    const accounts = await plane.ask("/api/v1/serviceaccounts");
    expect(accounts.body.items).toEqual([]);
    const stranger = await plane.ask("/api/v1/pods", {}, { rejectUnauthorized: false });
    expect(stranger.status).toBe(403);
  });

  test("custom resources and service account tokens are the API server's own", async () => {
    const definition = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "widgets.example.com" },
      spec: {
        group: "example.com",
        scope: "Namespaced",
        names: { plural: "widgets", singular: "widget", kind: "Widget", listKind: "WidgetList" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: "object",
                properties: {
                  spec: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
                },
              },
            },
          },
        ],
      },
    };
    const crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    expect((await plane.create(crds, definition)).status).toBe(201);
    const end = Date.now() + 10_000;
    const widgets = "/apis/example.com/v1/namespaces/default/widgets";
    const widget = {
      apiVersion: "example.com/v1",
      kind: "Widget",
      metadata: { name: "one" },
      spec: { a: 1 },
    };
    let status = 0;
    while (status !== 201 && Date.now() < end)
      status = (await plane.create(widgets, widget)).status;
    expect(status).toBe(201);
    const accounts = "/api/v1/namespaces/default/serviceaccounts";
    expect((await plane.create(accounts, { metadata: { name: "robot" } })).status).toBe(201);
    const { body } = await plane.create(`${accounts}/robot/token`, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {},
    });
    const review = await plane.create("/apis/authentication.k8s.io/v1/tokenreviews", {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token: body.status.token },
    });
    expect(review.body.status.user.username).toBe("system:serviceaccount:default:robot");
  });

  test("without an authority of clients, certificates name nobody", async () => {
    const open = new ControlPlane(join(dir, "open"), "--client-ca-file");
    try {
      await open.start();
      expect((await open.ask("/api/v1/namespaces")).status).toBe(401);
      expect((await open.ask("/version", {}, { rejectUnauthorized: false })).status).toBe(200);
    } finally {
      expect(await open.stop()).toEqual([0, 0]);
    }
  });

  test("a second API server on the same data, and a foreign etcd, are refused", async () => {
    const refused = async (flags: readonly string[]): Promise<string> => {
      const child = Bun.spawn([join(dir, "kube-apiserver"), ...flags], {
        stdout: "ignore",
        stderr: "pipe",
      });
      expect(await child.exited).toBe(1);
      return await new Response(child.stderr).text();
    };
    const port = freePort();
    expect(await refused(plane.flags(port))).toContain("stores its data there");
    const foreign = Bun.serve({ port: 0, fetch: () => new Response("{}") });
    const url = `http://127.0.0.1:${foreign.port}`;
    expect(await refused(plane.flags(port, url))).toContain(`Cannot use --etcd-servers=${url}: `);
    await foreign.stop(true);
  });
});
