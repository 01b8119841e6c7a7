/** Long-running commands end by a signal, and at once by a second one. */
import { UsageError } from "./flags.ts";

/** A start that fails for the user's reasons is told without a stack. */
export async function runUntilSignal(run: (stop: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  let asked = 0;
  const onSignal = (): void => {
    stop.abort();
    // Who asks again does not want to wait.
    if (++asked > 1) process.exit(130);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  // A service manager's pipe may break at any time; the server must not fall with it.
  process.on("SIGHUP", () => {});
  const { StartError } = await import("../server/start-error.ts");
  await run(stop.signal).catch((error: unknown) => {
    throw error instanceof StartError ? new UsageError(error.message) : error;
  });
}
