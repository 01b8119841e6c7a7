/** `k3 ingress`: the process that serves ingress; k3 starts it by itself. */
import { runIngressProcess } from "../agent/ingress/ingress-process.ts";
import { createRuntime } from "../runtime/real.ts";
import { createStreams } from "../runtime/stream-sockets.ts";
import type { CommandContext } from "./command.ts";
import { UsageError } from "./flags.ts";
import { runUntilSignal } from "./until-signal.ts";

export async function runIngressCommand({ args }: CommandContext): Promise<number> {
  const socketPath = args.flatMap((one) => /^--socket=(.+)$/.exec(one)?.[1] ?? [])[0];
  if (socketPath === undefined) {
    throw new UsageError("Cannot run k3 ingress by hand: k3 server starts it");
  }
  const runtime = createRuntime();
  await runUntilSignal((signal) =>
    runIngressProcess({ runtime, streams: createStreams(runtime.log), socketPath }, signal),
  );
  return 0;
}
