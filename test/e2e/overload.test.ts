/** A server under floods, with more requests than it serves at once, and while it stops. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { binary, reasonToSkip } from "./cluster.ts";
import { freePort } from "./free-port.ts";
import { floods, openRaw } from "./http2-frames.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: a server under load: ${skip}`);

const configMaps = "/api/v1/namespaces/default/configmaps";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
describe.skipIf(skip !== undefined)("a server under load", () => {
  const folder = mkdtempSync(join(tmpdir(), "k3-overload-"));
  const kubeconfig = join(folder, "k3.yaml");
  const logFile = join(folder, "k3.log");
  let port = 0;
  let server: Bun.Subprocess;
  let admin: ClientHttp2Session;

  beforeAll(async () => {
    port = freePort();
    server = Bun.spawn(
      [
        binary,
        "server",
        "--disable-agent",
        `--config=${join(folder, "none.yaml")}`,
        `--data-dir=${folder}`,
        `--https-listen-port=${port}`,
        `--write-kubeconfig=${kubeconfig}`,
        "--kube-apiserver-arg=shutdown-delay-duration=1s",
      ],
      { stdin: "ignore", stdout: Bun.file(logFile), stderr: Bun.file(logFile) },
    );
    await until("the server is ready", async () => {
      if (!readFileSync(logFile, "utf8").includes("k3 is up and running")) return false;
      admin = session();
      return (await ask(admin, "GET", "/readyz")).status === 200;
    });
  }, 60_000);
  afterAll(async () => {
    admin?.destroy();
    server?.kill("SIGKILL");
    await server?.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const end = Date.now() + 45_000;
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`Waited in vain: ${what}`);
      await Bun.sleep(20);
    }
  }

  function session(): ClientHttp2Session {
    const { users, clusters } = parse(readFileSync(kubeconfig, "utf8"));
    const pem = (base64: string): string => Buffer.from(base64, "base64").toString();
    const made = connect(`https://127.0.0.1:${port}`, {
      ca: pem(clusters[0].cluster["certificate-authority-data"]),
      cert: pem(users[0].user["client-certificate-data"]),
      key: pem(users[0].user["client-key-data"]),
    });
    made.on("error", () => {}); // told to each request
    return made;
  }

  /** A request whose body is still to be sent, and its answer. */
  function begin(
    by: ClientHttp2Session,
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
  ): { readonly stream: ClientHttp2Stream; readonly answer: Promise<Answer> } {
    const asked = { ":method": method, ":path": path, "content-type": "application/json" };
    const stream = by.request({ ...asked, ...headers });
    const answer = new Promise<Answer>((resolve, reject) => {
      let got: Record<string, string> = {};
      let body = "";
      stream.on("response", (head) => {
        got = Object.fromEntries(Object.entries(head).map(([name, value]) => [name, `${value}`]));
      });
      stream.on("data", (chunk) => {
        body += String(chunk);
      });
      stream.on("end", () => resolve({ status: Number(got[":status"]), headers: got, body }));
      stream.on("error", reject);
    });
    answer.catch(() => {}); // whoever waits for it sees it
    return { stream, answer };
  }

  function ask(
    by: ClientHttp2Session,
    method: string,
    path: string,
    object?: object,
  ): Promise<Answer> {
    const { stream, answer } = begin(by, method, path);
    stream.end(object === undefined ? undefined : JSON.stringify(object));
    return answer;
  }

  const residentMb = (): number => {
    const status = readFileSync(`/proc/${server.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  };

  test.each(Object.keys(floods))("a flood of %s costs others nothing", async (name) => {
    const before = residentMb();
    let isOver = false;
    const slowest = (async () => {
      let most = 0;
      while (!isOver) {
        const begun = performance.now();
        expect((await ask(admin, "GET", "/readyz/ping")).status).toBe(200);
        most = Math.max(most, performance.now() - begun);
        await Bun.sleep(10);
      }
      return most;
    })();
    const flood = await openRaw(port);
    const end = Date.now() + 1_500;
    for (let turn = 0; Date.now() < end && !flood.isClosed(); turn++) {
      await flood.write(floods[name]?.(turn) ?? new Uint8Array());
      // Others, the one who asks above among them, share this process with the flood.
      await Bun.sleep(0);
    }
    isOver = true;
    // The flood is made in this very process: much of that time is ours.
    expect(await slowest).toBeLessThan(10_000);
    flood.socket.destroy();
    // What was taken for a moment is given back.
    await until(`memory is ${before + 32} MB or less`, () => residentMb() <= before + 32);
  });

  test("clients that only hold on take little, and keep nobody else out", async () => {
    const before = residentMb();
    const slow = "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nHost: a\r\nX-Slow: ";
    const holders = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        const made = await openRaw(port, i % 2 === 0 ? "http/1.1" : "h2");
        if (i % 2 === 0) await made.write(Buffer.from(slow));
        return made;
      }),
    );
    expect((await ask(admin, "GET", "/readyz")).status).toBe(200);
    expect(residentMb() - before).toBeLessThan(64);
    for (const { socket } of holders) socket.destroy();
  });

  test("more requests than a level seats are answered 429, and nobody else's", async () => {
    const flowcontrol = "/apis/flowcontrol.apiserver.k8s.io/v1";
    const apiVersion = "flowcontrol.apiserver.k8s.io/v1";
    const metadata = { name: "crowd" };
    const limited = {
      nominalConcurrencyShares: 1,
      borrowingLimitPercent: 0,
      limitResponse: { type: "Reject" },
    };
    const rule = {
      subjects: [{ kind: "User", user: { name: "crowd" } }],
      resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"] }],
    };
    const level = { type: "Limited", limited };
    const schema = {
      priorityLevelConfiguration: metadata,
      matchingPrecedence: 50,
      rules: [rule],
    };
    const made = await Promise.all([
      ask(admin, "POST", `${flowcontrol}/prioritylevelconfigurations`, {
        apiVersion,
        kind: "PriorityLevelConfiguration",
        metadata,
        spec: level,
      }),
      ask(admin, "POST", `${flowcontrol}/flowschemas`, {
        apiVersion,
        kind: "FlowSchema",
        metadata,
        spec: schema,
      }),
      // Who may not write is refused before the body is read, and holds no seat.
      ask(admin, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        metadata,
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "admin" },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "crowd" }],
      }),
    ]);
    expect(made.map(({ status }) => status)).toEqual([201, 201, 201]);
    await until("the schema is in use", async () => {
      const { body } = await ask(admin, "GET", `${flowcontrol}/flowschemas/crowd`);
      return JSON.parse(body).status.conditions?.[0]?.status === "False";
    });
    const as = { "impersonate-user": "crowd" };
    const held = Array.from({ length: 20 }, () => begin(admin, "POST", configMaps, as));
    for (const { stream } of held) stream.write("{");
    await until("some are turned away", async () => {
      const turnedAway = await Promise.race([held[19]?.answer, Bun.sleep(50)]);
      return turnedAway !== undefined;
    });
    const refused = await held[19]?.answer;
    expect(refused?.status).toBe(429);
    expect(refused?.headers["retry-after"]).toMatch(/^\d+$/);
    expect(refused?.headers["x-kubernetes-pf-flowschema-uid"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(refused?.body).toBe("Too many requests, please try again later.\n");
    expect((await ask(admin, "GET", configMaps)).status).toBe(200);
    for (const { stream } of held) stream.end("}");
    const codes = (await Promise.all(held.map(({ answer }) => answer))).map(({ status }) => status);
    // One share of 246 among 600 seats is three.
    expect(codes.filter((code) => code !== 429)).toEqual([422, 422, 422]);
  });

  test("a stop is announced, lets what was asked finish and ends watches cleanly", async () => {
    const worker = session();
    const object = (name: string) => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
    });
    const watch = begin(worker, "GET", `${configMaps}?watch=true&labelSelector=a`);
    watch.stream.end();
    await new Promise((resolve) => void watch.stream.once("response", resolve));
    const labelled = { ...object("seen"), metadata: { name: "seen", labels: { a: "b" } } };
    expect((await ask(worker, "POST", configMaps, labelled)).status).toBe(201);
    const late = begin(worker, "POST", configMaps);
    late.stream.write('{"apiVersion":"v1","kind":"ConfigMap",');
    const goaway = new Promise((resolve) => void worker.once("goaway", resolve));
    server.kill("SIGTERM");
    // Not ready any more, and serving all the same.
    await until("the server says that it stops", async () => {
      return (await ask(admin, "GET", "/readyz")).status === 500;
    });
    const shutdown = await ask(admin, "GET", "/readyz/shutdown");
    expect(shutdown.body).toContain("process is shutting down");
    const meanwhile = { ...labelled, metadata: { ...labelled.metadata, name: "late" } };
    expect((await ask(admin, "POST", configMaps, meanwhile)).status).toBe(201);
    expect(await goaway).toBe(0);
    const events = (await watch.answer).body.trim().split("\n");
    expect(events.map((line) => JSON.parse(line).object.metadata.name)).toEqual(["seen", "late"]);
    late.stream.end('"metadata":{"name":"finished"}}');
    expect((await late.answer).status).toBe(201);
    expect(await server.exited).toBe(0);
    expect(readFileSync(logFile, "utf8")).toContain("k3 has stopped");
  }, 60_000);
});
