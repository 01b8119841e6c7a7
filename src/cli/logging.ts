/** The flags of logging: how much, where to, and for which components. */

import type { ComponentLevel, LogLevel } from "../runtime/log.ts";
import { LogFile } from "../runtime/log-file.ts";
import type { RuntimeOptions } from "../runtime/real.ts";
import { bad, type FlagValues } from "./flags.ts";

/** klog's convention: from here on messages are for those who debug. */
const debugVerbosityMin = 4;

export function loggingOf(flags: FlagValues): RuntimeOptions {
  const isDebug = flags.bool("debug") || flags.int("v") >= debugVerbosityMin;
  return {
    logLevel: isDebug ? "debug" : "info",
    logLevels: componentLevels(flags),
    ...writerOf(flags),
  };
}

function levelOf(verbosity: number): LogLevel {
  return verbosity >= debugVerbosityMin ? "debug" : "info";
}

/** klog's `pattern=N,...`; a pattern names components, since k3 has no log levels per file. */
function componentLevels(flags: FlagValues): readonly ComponentLevel[] {
  const text = flags.string("vmodule");
  return text
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [, pattern, verbosity] = /^([^=]+)=(\d+)$/.exec(part) ?? [];
      if (pattern === undefined)
        throw bad("vmodule", text, "it must be a list of pattern=N settings");
      return { pattern, level: levelOf(Number(verbosity)) };
    });
}

function writerOf(flags: FlagValues): Pick<RuntimeOptions, "writeLog"> {
  const path = flags.string("log");
  if (path === "") return {};
  let file: LogFile;
  try {
    file = new LogFile({ path });
  } catch (error) {
    throw bad(
      "log",
      path,
      `it cannot be written: ${error instanceof Error ? error.message : error}`,
    );
  }
  const alsoToStderr = flags.bool("alsologtostderr");
  return {
    writeLog: (line) => {
      file.write(line);
      if (alsoToStderr) process.stderr.write(line);
    },
  };
}
