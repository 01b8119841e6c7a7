/** Streams to and from containers: logs, exec, attach, port-forward, cp; and probes over TLS and gRPC. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { FrameReader } from "../../src/lib/websocket-frames.ts";
import { binary, Cluster, type Result, reasonToSkip, testImage } from "./cluster.ts";
import { apply, becomes, ended, events, pod, shell } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: pod streams: ${skip}`);

const talker = pod("talker", {
  containers: [
    shell(
      "main",
      "for i in $(seq 100); do echo line $i; done; sleep 1.2; echo error >&2; sleep 1000",
    ),
  ],
});
const onceMore = pod("once-more", {
  restartPolicy: "Always",
  containers: [shell("main", 'date +%s; echo "I am $HOSTNAME"; sleep 1; exit 1')],
});
const ticker = pod("ticker", {
  containers: [shell("main", "i=0; while :; do echo tick $i; i=$((i+1)); usleep 20000; done")],
});
// Twelve megabytes at once, and then a line now and then: more than one file holds.
const chatter = pod("chatter", {
  containers: [
    shell(
      "main",
      'yes "a line of forty characters without an end" | head -c 11m; ' +
        "i=0; while :; do echo late $i; i=$((i+1)); usleep 10000; done",
    ),
  ],
});
const listener = pod("listener", {
  containers: [shell("main", "cat; echo heard the end", { stdin: true, stdinOnce: true })],
});
const terminal = pod("terminal", {
  containers: [{ name: "main", image: testImage, command: ["sh"], stdin: true, tty: true }],
});
const web = pod("web", {
  containers: [shell("main", "cd /www; head -c 3000000 /dev/urandom >blob; exec httpd -f -p 80")],
});

const tlsProbe = { path: "/tls", port: 7443, scheme: "HTTPS" };
const probed = pod("probed", {
  hostNetwork: true,
  containers: [
    shell("tls", "exec sleep 1000", {
      readinessProbe: {
        httpGet: { ...tlsProbe, httpHeaders: [{ name: "X-Probe", value: "yes" }] },
        periodSeconds: 1,
      },
    }),
    shell("grpc", "exec sleep 1000", {
      readinessProbe: {
        grpc: { port: 7444, service: "web" },
        periodSeconds: 1,
        failureThreshold: 1,
      },
    }),
  ],
});

/** A health service that says of "web" what `state.serving` holds, over plain HTTP/2. */
function grpcHealth(state: { serving: number; asked: string }): ReturnType<typeof createServer> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      state.asked = `${headers[":path"]} ${Buffer.concat(chunks).subarray(7)}`;
      stream.respond(
        { ":status": 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, state.serving]));
    });
  });
  return server.listen(7444, "0.0.0.0");
}

async function selfSigned(dir: string): Promise<{ key: string; cert: string }> {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"];
  argv.push("ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=nobody", "-keyout", key);
  const child = Bun.spawn([...argv, "-out", cert], { stdout: "pipe", stderr: "pipe" });
  await child.exited;
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
}

describe.skipIf(skip !== undefined)("pod streams", () => {
  let cluster: Cluster;
  let dir = "";
  let env: Record<string, string | undefined> = {};

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "k3-streams-"));
    cluster = new Cluster();
    await cluster.start();
    env = { ...process.env, KUBECONFIG: cluster.kubeconfig, K3S_DATA_DIR: cluster.dataDir };
    await apply(cluster, talker, onceMore, ticker, listener, terminal, web);
  });
  afterAll(async () => {
    await cluster?.destroy();
    rmSync(dir, { recursive: true, force: true });
  });

  test("logs: tail, limit, time stamps, since", async () => {
    await cluster.until("all is said", async () => {
      return (await cluster.kubectl("logs talker")).stdout.split("\n").length === 102;
    });
    expect(await cluster.run("logs talker --tail=2")).toBe("line 100\nerror\n");
    expect(await cluster.run("logs talker --tail=0")).toBe("");
    expect(await cluster.run("logs talker --limit-bytes=10")).toBe("line 1\nlin");
    const stamped = await cluster.run("logs talker --timestamps --tail=1");
    expect(stamped).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z error\n$/);
    const stamp = stamped.split(" ")[0] ?? "";
    expect(await cluster.run(`logs talker --since-time=${stamp}`)).toBe("error\n");
    expect((await cluster.run("logs talker --since=1h")).split("\n")).toHaveLength(102);
    const future = new Date(Date.now() + 60_000).toISOString();
    expect(await cluster.run(`logs talker --since-time=${future}`)).toBe("");
    const wrong = await cluster.kubectl("logs talker -c other");
    expect(wrong.stderr).toContain("container other is not valid for pod talker");
  });

  test("logs and watches come over a WebSocket too", async () => {
    const config = readFileSync(cluster.kubeconfig, "utf8");
    const of = (name: string): string => new RegExp(`${name}: (\\S+)`).exec(config)?.[1] ?? "";
    const pem = (name: string): string => Buffer.from(of(name), "base64").toString();
    /** The first message; Bun's own client sends no certificate. */
    const first = async (path: string, protocol = ""): Promise<string> => {
      const { hostname, port } = new URL(of("server"));
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const socket = connect({
        host: hostname,
        port: Number(port),
        ca: pem("certificate-authority-data"),
        cert: pem("client-certificate-data"),
        key: pem("client-key-data"),
        ALPNProtocols: ["http/1.1"],
      });
      let held = Buffer.alloc(0);
      socket.on("error", reject);
      socket.on("close", () => reject(new Error(`closed after ${held}`)));
      socket.on("data", (chunk: Uint8Array) => {
        held = Buffer.concat([held, chunk]);
        const end = held.indexOf("\r\n\r\n");
        const pieces = end < 0 ? [] : [...new FrameReader().push(held.subarray(end + 4))];
        if (pieces[0]?.isLast) resolve(Buffer.from(pieces[0].payload).toString());
      });
      const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
      const wanted = protocol === "" ? "" : `Sec-WebSocket-Protocol: ${protocol}\r\n`;
      const head = `Host: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`;
      socket.write(`GET ${path} HTTP/1.1\r\n${head}${key}${wanted}\r\n`);
      const message = await promise;
      socket.destroy();
      return message;
    };
    const log = "/api/v1/namespaces/default/pods/talker/log?follow=true";
    expect(await first(log, "binary.k8s.io")).toStartWith("line 1\n");
    const base64 = await first(log, "base64.binary.k8s.io");
    expect(Buffer.from(base64, "base64").toString()).toStartWith("line 1\n");
    const event = await first("/api/v1/namespaces?watch=true");
    expect(JSON.parse(event)).toMatchObject({ type: "ADDED", object: { kind: "Namespace" } });
  });

  test("logs: of the container before this one", async () => {
    await becomes(cluster, "once-more", "{.status.containerStatuses[0].restartCount}", /[1-9]/);
    expect(await cluster.run("logs once-more --previous")).toContain("I am once-more");
    const none = await cluster.kubectl("logs talker --previous");
    expect(none.stderr).toContain('previous terminated container "main" in pod "talker" not found');
  });

  test("logs: following shows lines as they come and ends with the container", async () => {
    const args = ["logs", "-f", "ticker", "--tail=1"];
    const follower = cluster.kubectl(args);
    await becomes(cluster, "ticker", "{.status.phase}", "Running");
    await Bun.sleep(500);
    await cluster.run("delete pod ticker --wait=true");
    const { code, stdout } = await follower;
    expect(code).toBe(0);
    const ticks = stdout
      .trim()
      .split("\n")
      .map((line) => Number(line.split(" ")[1]));
    expect(ticks.length).toBeGreaterThan(10);
    expect(ticks).toEqual(ticks.map((_tick, at) => (ticks[0] ?? 0) + at));
  });

  test("logs: a follower loses nothing when the file is rotated", async () => {
    await apply(cluster, chatter);
    await becomes(cluster, "chatter", "{.status.phase}", "Running");
    const uid = await cluster.run("get pod chatter -o jsonpath={.metadata.uid}");
    const logDir = `/var/log/pods/default_chatter_${uid}/main`;
    const abort = new AbortController();
    let heard = "";
    const follower = cluster.following(
      ["logs", "-f", "chatter", "--tail=5"],
      abort.signal,
      (text) => {
        heard += text;
      },
    );
    await cluster.until("the follower hears", async () => heard.includes("late"));
    await cluster.until("the log is rotated", async () => readdirSync(logDir).length > 1);
    const before = heard.length;
    await cluster.until("more is heard", async () => heard.length > before + 1_000);
    abort.abort();
    const late = (await follower).split("\n").filter((line) => /^late \d+$/.test(line));
    const numbers = late.map((line) => Number(line.split(" ")[1]));
    expect(numbers.length).toBeGreaterThan(50);
    expect(numbers).toEqual(numbers.map((_number, at) => (numbers[0] ?? 0) + at));
    expect(readdirSync(logDir)).toContain("0.log");
  });

  test("exec: output, errors, input, exit code, terminal", async () => {
    await becomes(cluster, "talker", "{.status.phase}", "Running");
    const both = await cluster.kubectl(["exec", "talker", "--", "sh", "-c", "echo o; echo e >&2"]);
    expect(both).toEqual({ code: 0, stdout: "o\n", stderr: "e\n" });
    const failed = await cluster.kubectl(["exec", "talker", "--", "sh", "-c", "exit 42"]);
    expect(failed.code).toBe(42);
    expect(failed.stderr).toContain("command terminated with exit code 42");
    const large = "x".repeat(2_000_000);
    const counted = await cluster.run("exec -i talker -- wc -c", large);
    expect(counted.trim()).toBe("2000000");
    const missing = await cluster.kubectl("exec talker -- no-such-program");
    expect(missing.code).not.toBe(0);
    expect(missing.stderr).toContain("executable file not found in $PATH");
    const command = "exec -it talker -- sh -c 'tty; sleep 0.5; stty size; exit 3'";
    const tty = await cluster.onTerminal(command, { rows: 33, columns: 77 });
    expect(tty).toContain("/dev/pts/0");
    expect(tty).toContain("33 77");
  });

  /** `kubectl exec -i` of a shell script in the pod `talker`. */
  const inTalker = (script: string, input: string, ...flags: readonly string[]): Promise<Result> =>
    cluster.kubectl(["exec", "-i", "talker", ...flags, "--", "sh", "-c", script], input);

  test("exec: over a WebSocket whose input can end, many at once", async () => {
    const traced = await inTalker("cat; exit 7", "in\n", "-v=9");
    expect(traced).toMatchObject({ code: 7, stdout: "in\n" });
    expect(traced.stderr).toMatch(/101 Switching.*Sec-Websocket-Protocol: v5.channel.k8s.io/s);
    expect(traced.stderr).not.toContain("fallback");
    const late = await inTalker("cat; sleep 0.3; echo after", "before\n");
    expect(late.stdout).toBe("before\nafter\n");
    const each = Array.from({ length: 8 }, (_none, at) => at);
    const many = await Promise.all(each.map((at) => inTalker(`cat; exit ${at}`, `mine: ${at}\n`)));
    expect(many.map(({ code, stdout }) => [code, stdout])).toEqual(
      each.map((at) => [at, `mine: ${at}\n`]),
    );
  });

  test("exec: a hundred megabytes go in and come out", async () => {
    const source = "head -c 104857600 /dev/urandom | tee >(sha256sum >&2)";
    const line = `${source} | ${binary} kubectl exec -i talker -- cat | sha256sum`;
    const child = Bun.spawn(["bash", "-c", line], { env, stdout: "pipe", stderr: "pipe" });
    const [came, sent] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(came).toMatch(/^[0-9a-f]{64} /);
    expect(came).toBe(sent);
  });

  test("exec: the command of a client that is gone has no more input", async () => {
    const script = "echo here; cat; touch /tmp/alone; sleep 1000";
    const argv = [binary, "kubectl", "exec", "-i", "talker", "--", "sh", "-c", script];
    const child = Bun.spawn(argv, { env, stdin: "pipe", stdout: "pipe", stderr: "ignore" });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("here\n");
    child.kill("SIGKILL");
    await child.exited;
    await cluster.until("the input has ended", async () => {
      return (await cluster.kubectl("exec talker -- test -e /tmp/alone")).code === 0;
    });
  });

  test("attach: input reaches the container, output comes back", async () => {
    await becomes(cluster, "listener", "{.status.phase}", "Running");
    const said = await cluster.run("attach -i listener", "hello out there\n");
    expect(said).toContain("hello out there\nheard the end\n");
    await becomes(cluster, "terminal", "{.status.phase}", "Running");
    const shown = await cluster.onTerminal("attach -it terminal", {
      rows: 24,
      columns: 80,
      typed: "echo $((6*7)); exit\n",
    });
    expect(shown).toContain("42");
    await becomes(cluster, "terminal", "{.status.phase}", "Succeeded");
  });

  test("run --rm -i: start, feed, read, remove", async () => {
    const line = `run fed -i --rm --restart=Never --image=${testImage} --command -- sh -c`;
    const said = await cluster.run([...line.split(" "), "read x; echo got $x"], "food\n");
    expect(said).toContain("got food");
    expect((await cluster.kubectl("get pod fed")).stderr).toContain("NotFound");
  });

  test("port-forward: many requests, large answers", async () => {
    await becomes(cluster, "web", "{.status.phase}", "Running");
    const argv = [binary, "kubectl", "port-forward", "web", ":80", "-v=6"];
    const forwarder = Bun.spawn(argv, { env, stdout: "pipe", stderr: "pipe" });
    const { value } = await forwarder.stdout.getReader().read();
    const port = new TextDecoder().decode(value).match(/127\.0\.0\.1:(\d+)/)?.[1];
    const fetched = async (): Promise<number> => {
      const answer = await fetch(`http://127.0.0.1:${port}/blob`);
      return (await answer.arrayBuffer()).byteLength;
    };
    const sizes = await Promise.all(Array.from({ length: 8 }, fetched));
    expect(sizes).toEqual(Array.from({ length: 8 }, () => 3_000_000));
    forwarder.kill();
    const trace = await new Response(forwarder.stderr).text();
    expect(trace).toContain("negotiated protocol: portforward.k8s.io");
    expect(trace).not.toContain("fallback");
  });

  test("cp: there and back", async () => {
    const [there, back] = [join(dir, "there"), join(dir, "back")];
    writeFileSync(there, Buffer.alloc(1_500_000, "k3"));
    await cluster.run(`cp ${there} web:/tmp/there`);
    await cluster.run(`cp web:/tmp/there ${back}`);
    expect(readFileSync(back).equals(readFileSync(there))).toBe(true);
  });

  test("probes over TLS and gRPC", async () => {
    await apply(cluster, probed);
    const seen: string[] = [];
    const tls = Bun.serve({
      port: 7443,
      hostname: "0.0.0.0",
      tls: await selfSigned(dir),
      fetch(request) {
        seen.push(`${request.headers.get("user-agent")} ${request.headers.get("x-probe")}`);
        return new Response("fine");
      },
    });
    const state = { serving: 2, asked: "" };
    const health = grpcHealth(state);
    try {
      const ready = "{.status.containerStatuses[*].ready}";
      await becomes(cluster, "probed", ready, "false true");
      expect(seen[0]).toBe("kube-probe/1.36 yes");
      await cluster.until("the failure is told", async () =>
        (await events(cluster, "probed")).includes(
          'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")',
        ),
      );
      state.serving = 1;
      await becomes(cluster, "probed", ready, "true true");
      expect(state.asked).toBe("/grpc.health.v1.Health/Check web");
    } finally {
      health.close();
      await tls.stop(true);
    }
    await becomes(cluster, "probed", "{.status.containerStatuses[*].ready}", "false false");
    expect(await events(cluster, "probed")).toMatch(/Readiness probe failed: .*7444/);
  });

  test("logs of a pod that has ended, and of one that cannot start", async () => {
    const unknown = { name: "main", image: "k3.invalid/none:1", imagePullPolicy: "Never" };
    await apply(
      cluster,
      pod("done", { containers: [shell("main", "echo said")] }),
      pod("stuck", { containers: [unknown] }),
    );
    await ended(cluster, "done");
    expect(await cluster.run("logs done")).toBe("said\n");
    const reason = "{.status.containerStatuses[0].state.waiting.reason}";
    await becomes(cluster, "stuck", reason, "ErrImageNeverPull");
    const refused = await cluster.kubectl("logs stuck");
    expect(refused.stderr).toContain('container "main" in pod "stuck" is waiting to start');
  });
});
