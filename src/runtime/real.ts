/** The Runtime of the machine we run on. */
import { listen, udp } from "./datagrams.ts";
import { createExec } from "./exec.ts";
import { createFiles } from "./files.ts";
import { type ComponentLevel, createLogger, type LogLevel } from "./log.ts";
import { createNet } from "./net.ts";
import type { Clock, Random, Runtime } from "./runtime.ts";

export interface RuntimeOptions {
  readonly logLevel?: LogLevel;
  readonly logLevels?: readonly ComponentLevel[];
  /** Where log lines go; default standard error. */
  readonly writeLog?: (line: string) => void;
  /** JSON lines in place of text. */
  readonly json?: boolean;
}

/** Kubernetes' alphabet for generated names: no vowels, so no words. */
export const safeAlphabet = "bcdfghjklmnpqrstvwxz2456789";

export function createRuntime(options: RuntimeOptions = {}): Runtime {
  const random = createRandom();
  return {
    clock: createClock(),
    random,
    exec: createExec(),
    files: createFiles(() => random.suffix(10)),
    net: { ...createNet(), udp, listen },
    log: createLogger({
      level: options.logLevel ?? "info",
      levels: options.logLevels ?? [],
      json: options.json ?? false,
      uptimeSeconds: () => Math.floor(process.uptime()),
      now: () => new Date(),
      write: options.writeLog ?? ((line) => void process.stderr.write(line)),
    }),
  };
}

function createClock(): Clock {
  return {
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep,
    every: (ms, signal, tick) => {
      if (signal.aborted) return;
      const timer = setInterval(tick, ms);
      signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    },
  };
}

/** Longer waits overflow the timer, which would then fire at once. */
const longestTimerMs = 2 ** 31 - 1;

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, Math.min(Math.max(0, ms), longestTimerMs));
    signal.addEventListener("abort", finish);
  });
}

function createRandom(): Random {
  // Words are drawn in bulk: one system call serves many small requests.
  const words = new Uint32Array(256);
  let used = words.length;
  const word = (): number => {
    if (used === words.length) {
      crypto.getRandomValues(words);
      used = 0;
    }
    return words[used++] ?? 0;
  };
  const int = (below: number): number => {
    const limit = 2 ** 32 - (2 ** 32 % below);
    for (;;) {
      const drawn = word();
      if (drawn < limit) return drawn % below;
    }
  };
  return {
    int,
    uuid: () => crypto.randomUUID(),
    suffix: (length) => suffixFrom(int, length),
    bytes: (count) => {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count; at += 65536)
        crypto.getRandomValues(bytes.subarray(at, at + 65536));
      return bytes;
    },
  };
}

/** `length` characters of the safe alphabet, drawn with `int`. */
export function suffixFrom(int: (below: number) => number, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += safeAlphabet[int(safeAlphabet.length)];
  return text;
}
