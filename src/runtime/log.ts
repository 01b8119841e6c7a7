/** Log lines in the shape K3s prints them: `INFO[0001] message key=value`, or JSON lines. */
import type { Logger } from "./runtime.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

const order: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const labels: Readonly<Record<LogLevel, string>> = {
  debug: "DEBU",
  info: "INFO",
  warn: "WARN",
  error: "ERRO",
};

type Fields = Readonly<Record<string, unknown>>;

/** A level for the components whose name, or a part of it between slashes, fits `pattern`. */
export interface ComponentLevel {
  /** `*` stands for any characters, `?` for one. */
  readonly pattern: string;
  readonly level: LogLevel;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly levels?: readonly ComponentLevel[];
  readonly json: boolean;
  /** Whole seconds since the process started. */
  readonly uptimeSeconds: () => number;
  readonly now: () => Date;
  readonly write: (line: string) => void;
}

/** A logger that drops lines below `options.level`. */
export function createLogger(options: LogOptions, component = ""): Logger {
  const least = order[levelOf(component, options)];
  const emit = (level: LogLevel, message: string, fields: Fields | undefined): void => {
    if (order[level] < least) return;
    const all = component === "" ? fields : { component, ...fields };
    options.write(
      options.json
        ? jsonLine(options.now(), level, message, all)
        : textLine(options.uptimeSeconds(), level, message, all),
    );
  };
  return {
    debug: (message, fields) => emit("debug", message, fields),
    info: (message, fields) => emit("info", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    error: (message, fields) => emit("error", message, fields),
    named: (name) => createLogger(options, component === "" ? name : `${component}/${name}`),
  };
}

function levelOf(component: string, { level, levels = [] }: LogOptions): LogLevel {
  const names = [component, ...component.split("/")];
  const row = levels.find(({ pattern }) => {
    const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    const fits = new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
    return names.some((name) => fits.test(name));
  });
  return row?.level ?? level;
}

function textLine(
  uptime: number,
  level: LogLevel,
  message: string,
  fields: Fields | undefined,
): string {
  let line = `${labels[level]}[${String(uptime).padStart(4, "0")}] ${oneLine(message)}`;
  for (const [key, value] of Object.entries(fields ?? {})) {
    if (value !== undefined) line += ` ${key}=${quoted(render(value))}`;
  }
  return `${line}\n`;
}

function jsonLine(now: Date, level: LogLevel, message: string, fields: Fields | undefined): string {
  const rendered: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields ?? {})) {
    rendered[key] = value instanceof Error ? render(value) : value;
  }
  return `${JSON.stringify({ time: now.toISOString(), level, msg: message, ...rendered })}\n`;
}

function render(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) {
    const cause = value.cause === undefined ? "" : `: ${render(value.cause)}`;
    return `${value.message === "" ? value.name : value.message}${cause}`;
  }
  return JSON.stringify(value) ?? String(value);
}

/** A line break inside a message would forge a second log line. */
function oneLine(text: string): string {
  return text.replaceAll("\r", "\\r").replaceAll("\n", "\\n");
}

function quoted(text: string): string {
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}
