/** Child processes behind `Exec`. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { ChildProcess, Command, CommandResult, Exec } from "./runtime.ts";

export function createExec(): Exec {
  return { run, spawn };
}

async function run(command: Command, signal: AbortSignal): Promise<CommandResult> {
  signal.throwIfAborted();
  const { stdin } = command;
  const child = Bun.spawn([...command.argv], {
    ...placeOf(command),
    stdin: stdin === undefined ? "ignore" : new Blob([stdin as BlobPart]),
    stdout: "pipe",
    stderr: "pipe",
    signal,
    killSignal: "SIGKILL",
  });
  // Both pipes are drained at once: a child that fills one would wait for ever otherwise.
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  signal.throwIfAborted();
  return { exitCode, stdout, stderr };
}

function spawn(command: Command & { readonly logFile: string }): ChildProcess {
  mkdirSync(dirname(command.logFile), { recursive: true });
  const log = openSync(command.logFile, "a", 0o640);
  try {
    const child = Bun.spawn([...command.argv], {
      ...placeOf(command),
      stdin: command.stdin === undefined ? "ignore" : new Blob([command.stdin as BlobPart]),
      stdout: log,
      stderr: log,
      // Its own session: neither our death nor a signal to our group ends it.
      detached: true,
    });
    child.unref();
    return {
      pid: child.pid,
      exited: child.exited,
      kill: (signal) => child.kill(signal),
    };
  } finally {
    closeSync(log);
  }
}

function placeOf(command: Command): { cwd?: string; env?: Record<string, string | undefined> } {
  return {
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    env: command.env === undefined ? process.env : { ...command.env },
  };
}
