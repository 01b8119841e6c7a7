import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "./log.ts";
import { createRuntime } from "./real.ts";

const runtime = createRuntime({ logLevel: "error" });
const never = new AbortController().signal;
let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "k3-runtime-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("a command's output is drained, its exit code is a result", async () => {
  const result = await runtime.exec.run(
    { argv: ["sh", "-c", "cat; head -c 300000 /dev/zero | tr '\\0' e >&2; exit 3"], stdin: "hi" },
    never,
  );
  expect([result.exitCode, result.stdout, result.stderr.length]).toEqual([3, "hi", 300000]);
});

test("aborting kills a command", async () => {
  const abort = new AbortController();
  const running = runtime.exec.run({ argv: ["sleep", "60"] }, abort.signal);
  abort.abort();
  expect(running).rejects.toThrow();
});

test("a spawned child has its own session and writes to its log", async () => {
  const logFile = join(dir, "logs", "child.log");
  const child = runtime.exec.spawn({
    argv: ["sh", "-c", "cut -d' ' -f6 /proc/$$/stat; echo $$; echo err >&2"],
    logFile,
  });
  expect(await child.exited).toBe(0);
  const lines = (await runtime.files.readText(logFile))?.split("\n");
  expect(lines).toEqual([String(child.pid), String(child.pid), "err", ""]);
});

test("atomic writes keep the mode and leave nothing beside", async () => {
  const path = join(dir, "secret");
  await runtime.files.writeAtomic(path, "one", 0o600);
  await runtime.files.writeAtomic(path, "two", 0o666);
  expect(await runtime.files.readText(path)).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o666);
  expect(await runtime.files.list(dir)).not.toContain("secret.tmp");
  await runtime.files.remove(path);
  await runtime.files.remove(path);
  expect(await runtime.files.read(path)).toBeUndefined();
  expect(await runtime.files.list(join(dir, "absent"))).toEqual([]);
});

test("a watched directory yields changed names", async () => {
  const abort = new AbortController();
  const names = runtime.files.watch(dir, abort.signal)[Symbol.asyncIterator]();
  const first = names.next();
  await runtime.files.writeAtomic(join(dir, "watched"), "x", 0o600);
  expect((await first).value).toStartWith("watched");
  abort.abort();
  while (!(await names.next()).done) {}
});

test("dialled sockets carry bytes both ways and half-close", async () => {
  const path = join(dir, "echo.sock");
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const stream = await runtime.net.dial({ type: "unix", path }, never);
  const sent = new Uint8Array(4_000_000).map((_, i) => i % 251);
  const received = new Response(stream.readable).bytes();
  const writer = stream.writable.getWriter();
  for (let at = 0; at < sent.length; at += 100_000) {
    await writer.write(sent.subarray(at, at + 100_000));
  }
  await writer.close();
  expect(Buffer.from(await received).equals(Buffer.from(sent))).toBe(true);
  server.close();
});

test("dialling nobody fails, an aborted dial rejects", async () => {
  const address = { type: "unix", path: join(dir, "nobody") } as const;
  expect(runtime.net.dial(address, never)).rejects.toThrow();
  expect(runtime.net.dial(address, AbortSignal.abort())).rejects.toThrow();
});

test("sleep ends at once on abort", async () => {
  const abort = new AbortController();
  const slept = runtime.clock.sleep(60_000, abort.signal);
  abort.abort();
  await slept;
});

test("random suffixes use the safe alphabet", () => {
  expect(runtime.random.suffix(50)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{50}$/);
  expect(runtime.random.bytes(100_000).length).toBe(100_000);
});

test("log lines look like K3s's and cannot be forged", () => {
  const lines: string[] = [];
  const options = {
    uptimeSeconds: () => 7,
    now: () => new Date(0),
    write: (line: string) => void lines.push(line),
  };
  const log = createLogger({ ...options, level: "info", json: false });
  log.debug("hidden");
  log.named("store").warn("a\nb", { path: "/x/y", error: new Error("two words") });
  createLogger({ ...options, level: "debug", json: true }).info("hi", { n: 1 });
  expect(lines).toEqual([
    'WARN[0007] a\\nb component=store path=/x/y error="two words"\n',
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","msg":"hi","n":1}\n',
  ]);
});
