/** One run of a probe or lifecycle handler: exec, HTTP, TCP, gRPC, sleep. */

import { dialErrorText } from "../../lib/dial-error.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { type CriClient, criMessage } from "../cri/client.ts";
import { checkGrpcHealth } from "./grpc-health.ts";
import type { Container, LifecycleHandler, Pod, Probe } from "./types.ts";

export type HandlerResult =
  | { readonly ok: true; readonly output: string }
  | { readonly ok: false; readonly output: string };

export interface HandlerContext {
  /** A hook only tells: to it every HTTP answer is good, to a probe only 2xx and 3xx. */
  readonly purpose: "probe" | "hook";
  readonly runtime: Runtime;
  readonly cri: CriClient;
  readonly pod: Pod;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const limits = { outputBytesMax: 10 * 1024, redirectsMax: 10 } as const;

export type Handler = Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc"> &
  Pick<LifecycleHandler, "sleep">;

export async function runHandler(
  context: HandlerContext,
  handler: Handler,
): Promise<HandlerResult> {
  if (handler.exec !== undefined) return await runExec(context, handler.exec.command ?? []);
  if (handler.httpGet !== undefined) return await runHttp(context, handler.httpGet);
  if (handler.tcpSocket !== undefined) return await runTcp(context, handler.tcpSocket);
  if (handler.grpc !== undefined) {
    const { port, service = "" } = handler.grpc;
    const { podIp: host, timeoutMs } = context;
    const problem = await checkGrpcHealth({ host, port, service, timeoutMs });
    return { ok: problem === undefined, output: problem ?? "" };
  }
  if (handler.sleep !== undefined) {
    await context.runtime.clock.sleep(handler.sleep.seconds * 1000, context.signal);
  }
  return { ok: true, output: "" };
}

async function runExec(context: HandlerContext, cmd: readonly string[]): Promise<HandlerResult> {
  const timeoutSeconds = Math.max(1, Math.ceil(context.timeoutMs / 1000));
  try {
    const answer = await context.cri.runtime.execSync(
      { containerId: context.containerId, cmd: [...cmd], timeout: BigInt(timeoutSeconds) },
      { signal: context.signal },
    );
    const bytes = Buffer.concat([answer.stdout, answer.stderr]).subarray(0, limits.outputBytesMax);
    const output = new TextDecoder().decode(bytes);
    return { ok: answer.exitCode === 0, output };
  } catch (error) {
    const message = criMessage(error);
    const timedOut = message.includes("DeadlineExceeded") || message.includes("deadline exceeded");
    if (!timedOut) return { ok: false, output: message };
    const command = JSON.stringify(cmd.join(" "));
    return { ok: false, output: `command ${command} timed out after ${timeoutSeconds}s` };
  }
}

/** The number behind a port that may be a name of the container's ports. */
export function portNumber(container: Container, port: number | string): number | undefined {
  if (typeof port === "number") return port;
  const named = (container.ports ?? []).find((entry) => entry.name === port);
  const number = named?.containerPort ?? Number(port);
  return Number.isInteger(number) && number > 0 ? number : undefined;
}

type HttpGet = NonNullable<Handler["httpGet"]>;

async function runHttp(context: HandlerContext, get: HttpGet): Promise<HandlerResult> {
  const wanted = context.purpose === "hook" && get.port === "" ? 80 : get.port;
  const port = portNumber(context.container, wanted);
  if (port === undefined) return { ok: false, output: `couldn't find port: ${get.port}` };
  const name = (get.host ?? "") === "" ? context.podIp : (get.host ?? "");
  const host = name.includes(":") ? `[${name}]` : name;
  const scheme = (get.scheme ?? "HTTP").toLowerCase();
  const path = (get.path ?? "").startsWith("/") ? get.path : `/${get.path ?? ""}`;
  const url = new URL(`${scheme}://${host}:${port}${path}`);
  const headers = new Headers({ "User-Agent": "kube-probe/1.36", Accept: "*/*" });
  for (const header of get.httpHeaders ?? []) {
    if (header.name.toLowerCase() === "host") headers.set("Host", header.value);
    else headers.append(header.name, header.value);
  }
  const timeout = new AbortController();
  void context.runtime.clock
    .sleep(context.timeoutMs, AbortSignal.any([context.signal, timeout.signal]))
    .then(() => timeout.abort());
  try {
    return await followHttp(context, url, headers, timeout.signal);
  } catch (error) {
    if (timeout.signal.aborted) {
      const text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
      return { ok: false, output: `Get "${url}": ${text}` };
    }
    return { ok: false, output: `Get "${url}": ${dialErrorText(error, host, port)}` };
  } finally {
    timeout.abort();
  }
}

/** Follows redirects within the host; one that leads elsewhere counts as success, unread. */
async function followHttp(
  context: HandlerContext,
  url: URL,
  headers: Headers,
  signal: AbortSignal,
): Promise<HandlerResult> {
  let at = url;
  for (let hop = 0; hop <= limits.redirectsMax; hop += 1) {
    const request = new Request(at, { headers, redirect: "manual", signal });
    // Probes do not check certificates: the pod's is rarely one that the node could know.
    const response = await context.runtime.net.fetch(request, {
      tls: { rejectUnauthorized: false },
    });
    const target = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && target !== null) {
      const next = new URL(target, at);
      await response.body?.cancel();
      if (next.hostname !== url.hostname) return { ok: true, output: `Probe terminated redirects` };
      at = next;
      continue;
    }
    const body = (await response.text()).slice(0, limits.outputBytesMax);
    const isGood = response.status >= 200 && response.status < 400;
    if (isGood || context.purpose === "hook") return { ok: true, output: body };
    return { ok: false, output: `HTTP probe failed with statuscode: ${response.status}` };
  }
  return { ok: false, output: `Get "${url}": stopped after ${limits.redirectsMax} redirects` };
}

type Tcp = NonNullable<Handler["tcpSocket"]>;

async function runTcp(context: HandlerContext, tcp: Tcp): Promise<HandlerResult> {
  const port = portNumber(context.container, tcp.port);
  if (port === undefined) return { ok: false, output: `couldn't find port: ${tcp.port}` };
  const host = (tcp.host ?? "") === "" ? context.podIp : (tcp.host ?? "");
  const { clock, net } = context.runtime;
  const done = new AbortController();
  const signal = AbortSignal.any([context.signal, done.signal]);
  const timedOut = clock
    .sleep(context.timeoutMs, signal)
    .then(() => `dial tcp ${host}:${port}: i/o timeout`);
  const dialed = net.dial({ type: "tcp", host, port }, signal).then(
    (stream) => {
      stream.close();
      return undefined;
    },
    (error: unknown) => dialErrorText(error, host, port),
  );
  const problem = await Promise.race([dialed, timedOut]);
  done.abort();
  if (problem === undefined) return { ok: true, output: "" };
  return { ok: false, output: problem };
}
