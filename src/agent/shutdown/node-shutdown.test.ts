import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createRuntime } from "../../runtime/real.ts";
import type { ByteStream, CommandResult, Runtime } from "../../runtime/runtime.ts";
import { newRecord } from "../kubelet/pod-record.ts";
import { type DbusMessage, type DbusValue, decodeMessage, encodeMessage } from "./dbus-message.ts";
import { NodeShutdown } from "./node-shutdown.ts";

const dir = mkdtempSync(`${tmpdir()}/k3-shutdown-`);
const real = createRuntime({ logLevel: "error" });
const over = new AbortController();
afterAll(() => {
  over.abort();
  rmSync(dir, { recursive: true });
});

/** A bus with a logind on it that waits 5 s for nobody, until it is told otherwise. */
function fakeLogind() {
  const state = {
    delayMicros: 5_000_000n,
    calls: [] as string[],
    locks: 0,
    errors: [] as string[],
  };
  let tell = (_message: Omit<DbusMessage, "serial">): void => {};
  const answer = ({ member, body }: DbusMessage): readonly [string, DbusValue[]] => {
    state.calls.push([member, ...body].join(" "));
    if (member === "KillUnit") state.delayMicros = 30_000_000n;
    return member === "Get" ? ["t", [state.delayMicros]] : ["", []];
  };
  const dial = async (): Promise<ByteStream> => {
    let closed = (): void => {};
    let bytes: Uint8Array = new Uint8Array();
    let serial = 0;
    let greeted = false;
    const readable = new ReadableStream<Uint8Array>({
      start(controller) {
        tell = (message) => controller.enqueue(encodeMessage({ ...message, serial: ++serial }));
        closed = () => {
          closed = () => {};
          controller.close();
        };
      },
    });
    const writable = new WritableStream<Uint8Array>({
      write(chunk) {
        const text = new TextDecoder("latin1").decode(chunk);
        if (text.startsWith("\0AUTH")) return greet();
        if (text.startsWith("BEGIN")) return;
        bytes = Buffer.concat([bytes, chunk]);
        for (let found = decodeMessage(bytes); found; found = decodeMessage(bytes)) {
          bytes = bytes.slice(found.length);
          const [signature, body] = answer(found.message);
          tell({ type: "return", replyTo: found.message.serial, signature, body });
        }
      },
    });
    const greet = (): void => {
      if (!greeted) pushText("DATA\r\nOK 1234\r\n");
      greeted = true;
    };
    let pushText = (_text: string): void => {};
    const head = new TransformStream<Uint8Array, Uint8Array>({
      start(controller) {
        pushText = (text) => controller.enqueue(new TextEncoder().encode(text));
      },
    });
    void readable.pipeTo(head.writable).catch(() => {});
    return { readable: head.readable, writable, close: () => closed() };
  };
  const run = async (_command: unknown, signal: AbortSignal): Promise<CommandResult> => {
    state.locks += 1;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    state.locks -= 1;
    throw new DOMException("The operation was aborted.", "AbortError");
  };
  const runtime: Runtime = {
    ...real,
    net: { ...real.net, dial },
    exec: { ...real.exec, run },
    log: { ...real.log, error: (message) => void state.errors.push(message) },
  };
  const prepare = (isBegun: boolean): void =>
    tell({
      type: "signal",
      path: "/org/freedesktop/login1",
      interface: "org.freedesktop.login1.Manager",
      member: "PrepareForShutdown",
      signature: "b",
      body: [isBegun],
    });
  return { state, runtime, prepare };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(2);
}

test("pods end by priority while logind waits; called off, pods are let in again", async () => {
  const { state, runtime, prepare } = fakeLogind();
  const record = (name: string, priority: number) => {
    const metadata = { name, namespace: "n", uid: name };
    const spec = { containers: [], priority, terminationGracePeriodSeconds: 4 };
    return newRecord({ apiVersion: "v1", kind: "Pod", metadata, spec }, false, 0);
  };
  const records = [record("critical", 2_000_000_000), record("usual", 0)];
  const ended: string[] = [];
  const told: string[] = [];
  const shutdown = new NodeShutdown({
    runtime,
    events: { event: (_object, _type, reason, message) => void told.push(`${reason} ${message}`) },
    nodeName: "n1",
    graces: [
      { priority: 0, seconds: 20 },
      { priority: 2_000_000_000, seconds: 10 },
    ],
    rootDir: dir,
    pods: {
      active: () => records,
      endForShutdown: (one, seconds) => void ended.push(`${one.uid} ${seconds}`),
    },
    onChange: () => void told.push(`begun ${shutdown.isBegun()}`),
    busPath: "/bus",
    confDir: dir,
  });
  void shutdown.run(over.signal);
  await until(() => state.locks === 1);
  expect(readFileSync(`${dir}/99-kubelet.conf`, "utf8")).toContain("InhibitDelayMaxSec=30");
  expect(state.calls).toContain("KillUnit systemd-logind.service all 1");
  prepare(true);
  await until(() => ended.length === 1);
  expect(shutdown.isBegun()).toBe(true);
  expect(state.locks).toBe(1);
  for (const one of records) one.volumes = "gone";
  await until(() => state.locks === 0);
  expect(ended).toEqual(["usual 20", "critical 10"]);
  const kept = JSON.parse(readFileSync(`${dir}/graceful_node_shutdown_state`, "utf8"));
  expect(new Date(kept.endTime) >= new Date(kept.startTime)).toBe(true);
  prepare(false);
  await until(() => state.locks === 1);
  expect(state.errors).toEqual([]);
  expect(told).toEqual([
    "NodeShutdown Shutdown manager detected shutdown event",
    "begun true",
    "NodeShutdown Shutdown manager detected shutdown cancellation",
    "begun false",
  ]);
});
