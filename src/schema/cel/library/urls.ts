/** URLs: `url("https://a.b/c").getHost()`. */
import type { Functions } from "../check/functions.ts";
import { nameType, struct } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { CelOpaque } from "../run/values.ts";

const type = nameType(struct("kubernetes.URL")).name;

/** What Go says of a text that is no URL of a request. */
class UrlProblem extends Error {
  override readonly name = "UrlProblem";
}

/** A URL as Go's `url.ParseRequestURI` takes it: with a scheme, or a path from the root. */
class CelUrl extends CelOpaque {
  override readonly typeName = type;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;

  /** @throws UrlProblem */
  constructor(readonly text: string) {
    super();
    if (text === "") throw new UrlProblem("empty url");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is refused.
    if (/[\x00-\x1f\x7f]/.test(text)) {
      throw new UrlProblem("net/url: invalid control character in URL");
    }
    const [, scheme = "", rest = ""] = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(.*)$/.exec(text) ?? [];
    const mark = rest.indexOf("?");
    const before = mark < 0 ? rest : rest.slice(0, mark);
    this.scheme = scheme.toLowerCase();
    this.query = mark < 0 ? "" : rest.slice(mark + 1);
    const isRooted = before.startsWith("/");
    if (!isRooted && scheme === "") throw new UrlProblem("invalid URI for request");
    const [authority = "", host = ""] = /^\/\/([^/]*)/.exec(before) ?? [];
    const hasHost = scheme !== "" && authority !== "";
    this.host = hasHost ? checkedHost(host) : "";
    this.path = isRooted ? checkedPath(hasHost ? before.slice(authority.length) : before) : "";
  }

  static parse(text: string): CelUrl | UrlProblem {
    try {
      return new CelUrl(text);
    } catch (error) {
      if (error instanceof UrlProblem) return error;
      throw error;
    }
  }

  override equals(other: CelOpaque): boolean {
    return other instanceof CelUrl && other.text === this.text;
  }
  override toString(): string {
    return this.text;
  }
}

function checkedHost(written: string): string {
  const host = written.slice(written.lastIndexOf("@") + 1);
  const [, port = ""] = /^(?:\[.*\]|[^:]*)(:.*)?$/.exec(host) ?? [];
  if (!/^(:\d*)?$/.test(port)) {
    throw new UrlProblem(`invalid port ${JSON.stringify(port)} after host`);
  }
  const wrong = /[\s<>"\\^`{|}]/.exec(host)?.[0];
  if (wrong === undefined) return host;
  throw new UrlProblem(`invalid character ${JSON.stringify(wrong)} in host name`);
}

function checkedPath(path: string): string {
  const wrong = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(path)?.[0];
  if (wrong === undefined) return path;
  throw new UrlProblem(`invalid URL escape ${JSON.stringify(wrong)}`);
}

/** As written where that is a valid form, else with all that needs it escaped. */
function escapedPath(path: string): string {
  if (/^[A-Za-z0-9\-_.~!$&'()*+,;=:@[\]%/]*$/.test(path)) return path;
  const bytes = Buffer.from(percentDecoded(path));
  return Array.from(bytes, (byte) => {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9\-_.~$&+,/:;=@]/.test(character)) return character;
    return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function queryOf(query: string): Record<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (const part of query.split("&")) {
    if (part === "" || part.includes(";")) continue;
    const [name = "", ...value] = part.replaceAll("+", " ").split("=");
    const key = percentDecoded(name);
    values.set(key, [...(values.get(key) ?? []), percentDecoded(value.join("="))]);
  }
  return Object.fromEntries(values);
}

export function registerUrls(functions: Functions): void {
  functions
    .add(`url(string): ${type}`, (text: string) => {
      const url = CelUrl.parse(text);
      if (url instanceof CelUrl) return url;
      const why = `parse ${JSON.stringify(text)}: ${url.message}`;
      throw new CelFault(`URL parse error during conversion from string: ${why}`);
    })
    .add("isURL(string): bool", (text: string) => CelUrl.parse(text) instanceof CelUrl);
  const part = (name: string, read: (url: CelUrl) => string): void => {
    functions.add(`${type}->${name}(): string`, read);
  };
  part("getScheme", ({ scheme }) => scheme);
  part("getHost", ({ host }) => host);
  part("getHostname", ({ host }) => host.replace(/:\d*$/, "").replace(/^\[|\]$/g, ""));
  part("getPort", ({ host }) => /:(\d+)$/.exec(host)?.[1] ?? "");
  part("getEscapedPath", ({ path }) => escapedPath(path));
  functions.add(`${type}->getQuery(): map<string, list<string>>`, ({ query }: CelUrl) =>
    queryOf(query),
  );
}
