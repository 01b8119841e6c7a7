#!/usr/bin/env bun
/** The binary: the name it is called by and the first argument pick the command. */
import { dispatch } from "./cli/commands.ts";

async function main(): Promise<number> {
  try {
    return await dispatch(process.argv0, {
      args: process.argv.slice(2),
      env: process.env,
      out: (text) => void process.stdout.write(text),
      err: (text) => void process.stderr.write(text),
    });
  } catch (error) {
    const isUsage = error instanceof Error && error.name === "UsageError";
    const text = error instanceof Error && !isUsage ? (error.stack ?? error.message) : error;
    process.stderr.write(`${isUsage ? (error as Error).message : String(text)}\n`);
    return 1;
  }
}

const exitCode = await main();
// A pipe takes its bytes later: leave only when the last have gone.
process.stdout.write("", () => process.exit(exitCode));
