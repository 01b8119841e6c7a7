/** `k3 crictl` inspect, inspectp, inspecti, imagefsinfo, info and version. */
import { type CriMessage, criJson } from "../agent/cri/json.ts";
import { type Call, outputFlag, type SubcommandRow, showValue } from "./crictl-call.ts";

export const inspectRows: Readonly<Record<string, SubcommandRow>> = {
  inspect: { usage: "inspect CONTAINER...", flags: [outputFlag], namesMin: 1, run: inspect },
  inspectp: { usage: "inspectp POD...", flags: [outputFlag], namesMin: 1, run: inspectPod },
  inspecti: { usage: "inspecti IMAGE...", flags: [outputFlag], namesMin: 1, run: inspectImage },
  imagefsinfo: { usage: "imagefsinfo", flags: [outputFlag], namesMin: 0, run: imageFsInfo },
  info: { usage: "info", flags: [outputFlag], namesMin: 0, run: info },
  version: { usage: "version", flags: [], namesMin: 0, run: version },
};

type Texts = Readonly<Record<string, string>>;

async function inspect(call: Call): Promise<number> {
  for (const containerId of call.names) {
    const answer = await call.cri.runtime.containerStatus({ containerId, verbose: true });
    showStatus(call, answer.status, answer.info);
  }
  return 0;
}

async function inspectPod(call: Call): Promise<number> {
  for (const podSandboxId of call.names) {
    const answer = await call.cri.runtime.podSandboxStatus({ podSandboxId, verbose: true });
    showStatus(call, answer.status, answer.info);
  }
  return 0;
}

async function inspectImage(call: Call): Promise<number> {
  let code = 0;
  for (const image of call.names) {
    const answer = await call.cri.images.imageStatus({ image: { image }, verbose: true });
    if (answer.image !== undefined) showStatus(call, answer.image, answer.info);
    else {
      call.context.err(`no such image ${JSON.stringify(image)} present\n`);
      code = 1;
    }
  }
  return code;
}

async function imageFsInfo(call: Call): Promise<number> {
  const status = await call.cri.images.imageFsInfo({});
  showValue(call, { status: criJson(status) });
  return 0;
}

async function info(call: Call): Promise<number> {
  const { status, info: more } = await call.cri.runtime.status({ verbose: true });
  showValue(call, {
    ...parsed(more),
    ...(status === undefined ? {} : { status: criJson(status) }),
  });
  return 0;
}

async function version(call: Call): Promise<number> {
  const told = await call.cri.runtime.version({ version: "v1" });
  call.context.out(
    `Version:  ${told.version}\nRuntimeName:  ${told.runtimeName}\n` +
      `RuntimeVersion:  ${told.runtimeVersion}\nRuntimeApiVersion:  ${told.runtimeApiVersion}\n`,
  );
  return 0;
}

function showStatus(call: Call, status: CriMessage | undefined, more: Texts): void {
  const { info: inner, ...rest } = parsed(more);
  const shown = status === undefined ? {} : withTimes(criJson(status));
  showValue(call, { info: inner ?? {}, ...rest, status: shown });
}

/** containerd tells JSON texts; what is none is shown as it is. */
function parsed(texts: Texts): Readonly<Record<string, unknown>> {
  const entries = Object.entries(texts).map(([key, text]): [string, unknown] => {
    try {
      return [key, JSON.parse(text)];
    } catch {
      return [key, text];
    }
  });
  return Object.fromEntries(entries);
}

/** Nanoseconds become times, as crictl shows them. */
function withTimes(status: Record<string, unknown>): Record<string, unknown> {
  const shown = { ...status };
  for (const name of ["createdAt", "startedAt", "finishedAt"]) {
    const value = status[name];
    if (typeof value === "string") shown[name] = timeText(BigInt(value));
  }
  return shown;
}

/** RFC 3339 with as many digits of a second as there are. */
export function timeText(nanoseconds: bigint): string {
  const whole = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  const rest = String(nanoseconds % 1_000_000_000n)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return rest === "" ? `${whole}Z` : `${whole}.${rest}Z`;
}
