/** Audit of the real binary: what the log and a receiver get when users act by kubectl. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AuditEvent } from "../../src/api/audit/event.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { createRuntime } from "../../src/runtime/real.ts";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { Connection, Unanswered } from "./crash/connection.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: audit: ${skip}`);

const policy = `
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  resources:
  - group: coordination.k8s.io
    resources: [leases]
- level: None
  nonResourceURLs: ["/readyz*"]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets]
- level: RequestResponse
  omitManagedFields: true
  namespaces: [default]
- level: Metadata
`;

describe.skipIf(skip !== undefined)("audit", () => {
  let cluster: Cluster;
  let receiver: Bun.Server<undefined>;
  const received: AuditEvent[] = [];
  const refusals = { left: 1 };
  const file = (name: string) => join(cluster.dataDir, name);

  beforeAll(async () => {
    cluster = new Cluster();
    receiver = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        // The first batch comes again after a failure.
        if (refusals.left-- > 0) return new Response("busy", { status: 503 });
        if (request.headers.get("authorization") !== "Bearer hush") {
          return new Response("", { status: 401 });
        }
        const list = (await request.json()) as { kind: string; items: AuditEvent[] };
        if (list.kind === "EventList") received.push(...list.items);
        return new Response("");
      },
    });
    writeFileSync(file("policy.yaml"), policy);
    writeFileSync(
      file("receiver.kubeconfig"),
      JSON.stringify({
        "current-context": "it",
        contexts: [{ name: "it", context: { cluster: "it", user: "it" } }],
        clusters: [{ name: "it", cluster: { server: receiver.url.href } }],
        users: [{ name: "it", user: { token: "hush" } }],
      }),
    );
    await cluster.startWithoutAgent(...flags());
  }, 60_000);
  afterAll(async () => {
    await cluster.destroy();
    await receiver.stop(true);
  });

  function flags(...more: readonly string[]): readonly string[] {
    return [
      `audit-policy-file=${file("policy.yaml")}`,
      `audit-log-path=${file("logs/audit.log")}`,
      `audit-webhook-config-file=${file("receiver.kubeconfig")}`,
      "audit-webhook-initial-backoff=50ms",
      "audit-webhook-batch-max-wait=100ms",
      ...more,
    ].map((text) => `--kube-apiserver-arg=${text}`);
  }

  function logged(): readonly AuditEvent[] {
    const lines = readFileSync(file("logs/audit.log"), "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line));
  }

  test("kubectl's calls are in the log and at the receiver", async () => {
    await cluster.run("create configmap a --from-literal=k=v --as=jane --as-group=system:masters");
    const isIt = ({ verb, stage, objectRef }: AuditEvent) =>
      verb === "create" && stage === "ResponseComplete" && objectRef?.name === "a";
    const wanted = {
      level: "RequestResponse",
      user: { groups: expect.arrayContaining(["system:masters"]) },
      impersonatedUser: { username: "jane", groups: ["system:masters", "system:authenticated"] },
      sourceIPs: ["127.0.0.1"],
      userAgent: expect.stringContaining("kubectl"),
      objectRef: { resource: "configmaps", namespace: "default", name: "a", apiVersion: "v1" },
      responseStatus: { metadata: {}, code: 201 },
      requestObject: { data: { k: "v" } },
      responseObject: { data: { k: "v" } },
      annotations: { "authorization.k8s.io/decision": "allow" },
    };
    expect(logged().find(isIt)).toMatchObject(wanted);
    await cluster.until("the receiver has it", async () => received.some(isIt));
    expect(received.find(isIt)).toMatchObject(wanted);
    expect(statSync(file("logs/audit.log")).mode & 0o777).toBe(0o600);
    expect(statSync(file("logs")).mode & 0o777).toBe(0o700);
  });

  test("secrets stay out of the log, and nobody writes lines of their own into it", async () => {
    await cluster.run("create secret generic s --from-literal=password=canary-3141");
    await cluster.kubectl(["get", "--raw", "/api/v1/namespaces/x%0d%0a%1b[31m{}/pods"]);
    const text = readFileSync(file("logs/audit.log"), "utf8");
    expect(text).not.toContain("canary-3141");
    // The server logs at its most talkative here.
    expect(cluster.log()).not.toContain("canary-3141");
    expect(text).not.toContain(Buffer.from("canary-3141").toString("base64"));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    expect(logged().some(({ objectRef }) => objectRef?.name === "s")).toBe(true);
  });

  test("every write has a record, killed or not", async () => {
    const config = await loadKubeconfig(
      createRuntime({ logLevel: "error" }).files,
      cluster.kubeconfig,
    );
    const acknowledged = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const connection = new Connection(config);
      const writers = Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; ; i++) {
          const name = `w-${round}-${writer}-${i}`;
          const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name } };
          const path = "/api/v1/namespaces/default/configmaps";
          const answer = await connection.ask("POST", path, body);
          if (answer.status === 201) acknowledged.add(name);
        }
      });
      const ended = Promise.allSettled(writers);
      const before = acknowledged.size;
      await cluster.until("some are written", async () => acknowledged.size > before + 50);
      await cluster.crash();
      for (const one of await ended) {
        expect(one).toMatchObject({ reason: expect.any(Unanswered) });
      }
      await cluster.startWithoutAgent(...flags());
    }
    const list = JSON.parse(await cluster.run("get configmaps -o json")) as {
      items: { metadata: { name: string } }[];
    };
    const stored = list.items
      .map(({ metadata }) => metadata.name)
      .filter((n) => n.startsWith("w-"));
    const named = (stage: string) =>
      new Map(
        logged()
          .filter((event) => event.stage === stage && event.verb === "create")
          .map(({ auditID, objectRef }) => [auditID, objectRef?.name]),
      );
    const complete = [...named("ResponseComplete").values()];
    const records = new Set(complete);
    expect([...acknowledged].filter((name) => !records.has(name))).toEqual([]);
    // What was stored and not acknowledged began at least: one record for each, by its id.
    const open = named("RequestReceived").size - complete.length;
    expect(stored.filter((name) => !records.has(name)).length).toBeLessThanOrEqual(open);
    expect(stored.length).toBeGreaterThan(150);
  }, 120_000);

  test("a full log is set aside, compressed", async () => {
    await cluster.stop();
    await cluster.startWithoutAgent(
      ...flags("audit-log-maxsize=1", "audit-log-maxbackup=1", "audit-log-compress"),
    );
    const big = "x".repeat(300_000);
    const aside = () => readdirSync(file("logs")).filter((name) => name !== "audit.log");
    for (let i = 0; i < 4; i++) {
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `b-${i}` } };
      await cluster.run("create -f -", JSON.stringify({ ...body, data: { big } }));
    }
    await cluster.until("it is compressed", async () =>
      aside().some((name) => /^audit-[\dT.-]+\.log\.gz$/.test(name)),
    );
    expect(logged().length).toBeGreaterThan(0);
  }, 60_000);
});

describe.skipIf(skip !== undefined)("a policy that is wrong", () => {
  test("ends the start with a sentence", async () => {
    const cluster = new Cluster();
    try {
      const path = join(cluster.dataDir, "policy.yaml");
      writeFileSync(path, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: All}]\n");
      const start = cluster.startWithoutAgent(`--kube-apiserver-arg=audit-policy-file=${path}`);
      await expect(start).rejects.toThrow(
        `Cannot use ${path} as the audit policy: rules[0].level: Unsupported value: "All"`,
      );
    } finally {
      await cluster.destroy();
    }
  }, 30_000);
});
