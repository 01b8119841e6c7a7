import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import type { BatchOptions } from "./audit-options.ts";
import { BufferedSink } from "./buffered-sink.ts";
import { type AuditEvent, type AuditSink, eventLine, legacyLine, type OnLost } from "./event.ts";
import { ignoreErrors, lineSink, truncatingSink, unionSink } from "./sinks.ts";

function event(more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    kind: "Event",
    apiVersion: "audit.k8s.io/v1",
    level: "Request",
    auditID: "id",
    stage: "ResponseComplete",
    requestURI: "/api/v1/pods",
    verb: "list",
    user: { username: "jane", groups: ["dev", "ops"] },
    requestReceivedTimestamp: "2026-11-21T12:00:00.000000Z",
    stageTimestamp: "2026-11-21T12:00:00.000000Z",
    ...more,
  };
}

/** Keeps the batches it gets; `answer` says whether it takes them. */
function keeper(answer = true): AuditSink & { readonly batches: (readonly AuditEvent[])[] } {
  const batches: (readonly AuditEvent[])[] = [];
  return {
    batches,
    process: (events) => {
      batches.push(events);
      return answer;
    },
    close: async () => {},
  };
}

const nasty = "a\r\nb\u001b[31mc\u2028d\u0000\u007f";

test("eventLine() and legacyLine() are one line each, whatever is in the event", () => {
  const one = event({ userAgent: nasty, user: { username: nasty }, requestURI: nasty });
  for (const line of [eventLine(one), legacyLine(one)]) {
    expect(line.endsWith("\n")).toBe(true);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u2028\u2029]/);
  }
  expect(JSON.parse(eventLine(one)).userAgent).toBe(nasty);
});

test("legacyLine() reads as upstream's", () => {
  const more = { objectRef: { namespace: "shop" }, sourceIPs: ["10.0.0.1"] };
  expect(legacyLine(event(more))).toBe(
    '2026-11-21T12:00:00.000000Z AUDIT: id="id" stage="ResponseComplete" ip="10.0.0.1" ' +
      'method="list" user="jane" groups="\\"dev\\",\\"ops\\"" as="<self>" asgroups="<lookup>" ' +
      'user-agent="" namespace="shop" uri="/api/v1/pods" response="<deferred>"\n',
  );
});

test("lineSink() tells of what it could not write, and ignoreErrors() lets requests go on", () => {
  const lost: string[] = [];
  const full = lineSink(
    eventLine,
    () => {
      throw new Error("no space left on device");
    },
    (plugin, error, events) => void lost.push(`${plugin} ${error} ${events.length}`),
  );
  expect(full.process([event(), event()])).toBe(false);
  expect(ignoreErrors(full).process([event()])).toBe(true);
  expect(lost).toEqual(Array(3).fill("log Error: no space left on device 1"));
});

test("unionSink() is content only when all are", async () => {
  const [good, bad] = [keeper(), keeper(false)];
  expect(await unionSink([good, bad]).process([event()])).toBe(false);
  expect([good.batches.length, bad.batches.length]).toEqual([1, 1]);
});

test("truncatingSink() cuts objects, drops what is too long still, splits batches", async () => {
  const sink = keeper();
  const lost: number[] = [];
  const options = { batchBytesMax: 900, eventBytesMax: 500 };
  const onLost: OnLost = (_plugin, _error, events) => void lost.push(events.length);
  const truncating = truncatingSink(sink, options, onLost);
  const long = event({ requestObject: { data: "x".repeat(600) } });
  const tooLong = event({ requestURI: `/${"x".repeat(600)}` });
  await truncating.process([event(), long, tooLong, event()]);
  expect(lost).toEqual([1]);
  expect(sink.batches.map((batch) => batch.length)).toEqual([2, 1]);
  expect(sink.batches[0]?.[1]).toMatchObject({
    annotations: { "audit.k8s.io/truncated": "true" },
  });
  expect(sink.batches[0]?.[1]).not.toHaveProperty("requestObject");
});

const batch: BatchOptions = { bufferSize: 10, maxSize: 3, maxWaitMs: 1000, throttle: undefined };

function buffered(sink: AuditSink, more: Partial<BatchOptions> = {}) {
  const runtime = createSimulatedRuntime(1);
  const lost: number[] = [];
  const buffer = new BufferedSink({
    sink,
    batch: { ...batch, ...more },
    isParallel: false,
    clock: runtime.clock,
    onLost: (_plugin, _error, events) => void lost.push(events.length),
  });
  return { buffer, runtime, lost };
}

test("BufferedSink sends full batches at once and others after a while", async () => {
  const sink = keeper();
  const { buffer, runtime } = buffered(sink);
  buffer.process([event(), event(), event(), event()]);
  await runtime.clock.advance(1);
  expect(sink.batches.map((one) => one.length)).toEqual([3]);
  await runtime.clock.advance(1000);
  expect(sink.batches.map((one) => one.length)).toEqual([3, 1]);
  await buffer.close();
});

test("BufferedSink loses what does not fit, and sends the rest when it closes", async () => {
  const sink = keeper();
  const { buffer, lost } = buffered(sink, { bufferSize: 2 });
  expect(buffer.process([event(), event(), event()])).toBe(true);
  expect(lost).toEqual([1]);
  await buffer.close();
  expect(sink.batches.map((one) => one.length)).toEqual([2]);
  buffer.process([event()]);
  expect(lost).toEqual([1, 1]);
});

test("BufferedSink keeps to the rate of its throttle", async () => {
  const sink = keeper();
  const { buffer, runtime } = buffered(sink, { maxSize: 1, throttle: { qps: 2, burst: 1 } });
  buffer.process([event(), event(), event()]);
  const counts: number[] = [];
  for (let i = 0; i < 3; i++) {
    await runtime.clock.advance(i === 0 ? 1 : 500);
    counts.push(sink.batches.length);
  }
  expect(counts).toEqual([1, 2, 3]);
  await buffer.close();
});
