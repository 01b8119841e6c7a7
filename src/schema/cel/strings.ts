/** cel-go's string extensions (version 2), Kubernetes' regular expressions and URLs. */
import type { Environment } from "@marcbachmann/cel-js";

export function registerStrings(environment: Environment): void {
  const add = environment.registerFunction.bind(environment);
  add("string.charAt(int): string", (text: string, at: bigint) => {
    const characters = [...text];
    const index = Number(at);
    if (index < 0 || index > characters.length) throw new Error(`index out of range: ${at}`);
    return characters[index] ?? "";
  });
  add("string.replace(string, string): string", (text: string, from: string, to: string) =>
    text.replaceAll(from, () => to),
  );
  add(
    "string.replace(string, string, int): string",
    (text: string, from: string, to: string, most: bigint) => replaceSome(text, from, to, most),
  );
  add("string.reverse(): string", (text: string) => [...text].reverse().join(""));
  add("string.find(string): string", (text: string, pattern: string) => {
    return regex(pattern).exec(text)?.[0] ?? "";
  });
  add("string.findAll(string): list<string>", (text: string, pattern: string) =>
    findAll(text, pattern, -1n),
  );
  add("string.findAll(string, int): list<string>", findAll);
  add("string.format(list): string", (text: string, values: unknown[]) => format(text, values));
  registerUrls(environment);
}

function replaceSome(text: string, from: string, to: string, most: bigint): string {
  if (most < 0n) return text.replaceAll(from, () => to);
  let left = Number(most);
  return text.replaceAll(from, (found) => (left-- > 0 ? to : found));
}

/** RE2's syntax is JavaScript's but for named groups and flags at the start. */
export function regex(pattern: string, flags = ""): RegExp {
  const named = pattern.replaceAll("(?P<", "(?<");
  const leading = /^\(\?([imsU]+)\)/.exec(named);
  const body = leading === null ? named : named.slice(leading[0].length);
  const own = [...(leading?.[1] ?? "")].filter((flag) => "ims".includes(flag)).join("");
  try {
    return new RegExp(body, `${own}${flags}u`);
  } catch (cause) {
    throw new Error(`error parsing regexp: \`${pattern}\``, { cause });
  }
}

function findAll(text: string, pattern: string, most: bigint): readonly string[] {
  const found = Array.from(text.matchAll(regex(pattern, "g")), ([match]) => match);
  return most < 0n ? found : found.slice(0, Number(most));
}

/** `%s %d %f %e %b %x %X %o %%` with an optional precision, as cel-go's `format`. */
function format(text: string, values: readonly unknown[]): string {
  let used = 0;
  return text.replace(/%(?:\.(\d+))?([sdfebxXo%])|%/g, (whole, precision, verb) => {
    if (verb === "%") return "%";
    if (verb === undefined) throw new Error(`could not parse formatting clause: ${whole}`);
    if (used >= values.length) throw new Error(`index ${used} out of range`);
    const value = values[used++];
    return formatted(value, verb, precision === undefined ? undefined : Number(precision));
  });
}

function formatted(value: unknown, verb: string, precision: number | undefined): string {
  switch (verb) {
    case "s":
      return textOf(value);
    case "d":
      return String(value);
    case "f":
      return Number(value).toFixed(precision ?? 6);
    case "e":
      return Number(value)
        .toExponential(precision ?? 6)
        .replace(/e([+-])(\d)$/, "e$10$2");
    case "b":
      return typeof value === "boolean" ? (value ? "1" : "0") : BigInt(value as bigint).toString(2);
    case "o":
      return BigInt(value as bigint).toString(8);
    default: {
      const hex = hexOf(value);
      return verb === "X" ? hex.toUpperCase() : hex;
    }
  }
}

function hexOf(value: unknown): string {
  if (typeof value === "string") return Buffer.from(value).toString("hex");
  if (value instanceof Uint8Array) return value.toHex();
  return BigInt(value as bigint).toString(16);
}

function textOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `[${value.map(textOf).join(", ")}]`;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  if (value instanceof Date) return value.toISOString().replace(".000Z", "Z");
  if (typeof value !== "object") return String(value);
  if (Object.getPrototypeOf(value) !== Object.prototype && !(value instanceof Map)) {
    return String(value);
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const members = entries.map(([key, member]) => `${textOf(key)}: ${textOf(member)}`).sort();
  return `{${members.join(", ")}}`;
}

/** A URL as Go's net/url takes it: absolute, or a path that begins with a slash. */
class CelUrl {
  constructor(
    readonly text: string,
    readonly parsed: URL,
    readonly isAbsolute: boolean,
  ) {}

  static parse(text: string): CelUrl | undefined {
    const isAbsolute = /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text);
    if (!isAbsolute && !text.startsWith("/")) return undefined;
    if (/[\s<>"{}|\\^`]/.test(text)) return undefined;
    try {
      return new CelUrl(text, new URL(text, "http://none.invalid"), isAbsolute);
    } catch {
      return undefined;
    }
  }

  /** Host and port as written: URL would drop a port that is the scheme's own. */
  get host(): string {
    const written = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#]*)/.exec(this.text);
    return this.isAbsolute ? (written?.[1] ?? "") : "";
  }

  toString(): string {
    return this.text;
  }
}

function registerUrls(environment: Environment): void {
  environment.registerType("net.URL", { ctor: CelUrl, fields: {} });
  const add = environment.registerFunction.bind(environment);
  add("url(string): net.URL", (text: string) => {
    const url = CelUrl.parse(text);
    if (url === undefined)
      throw new Error(`URL parse error during conversion from string: ${text}`);
    return url;
  });
  add("isURL(string): bool", (text: string) => CelUrl.parse(text) !== undefined);
  const part = (name: string, read: (url: CelUrl) => string): void => {
    add(`net.URL.${name}(): string`, read);
  };
  part("getScheme", ({ parsed, isAbsolute }) => (isAbsolute ? parsed.protocol.slice(0, -1) : ""));
  part("getHost", ({ host }) => host);
  part("getHostname", ({ host }) => host.replace(/:\d*$/, "").replace(/^\[|\]$/g, ""));
  part("getPort", ({ host }) => /:(\d+)$/.exec(host)?.[1] ?? "");
  part("getEscapedPath", ({ parsed, text }) => {
    return parsed.pathname === "/" && !/^[^?#]*\/($|[?#])/.test(text) ? "" : parsed.pathname;
  });
  add("net.URL.getQuery(): map<string, list<string>>", ({ parsed }: CelUrl) => {
    const query = new Map<string, string[]>();
    for (const [name, value] of parsed.searchParams) {
      query.set(name, [...(query.get(name) ?? []), value]);
    }
    return query;
  });
}
