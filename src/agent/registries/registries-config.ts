/** Reads K3s' registries.yaml: mirrors, rewrites, credentials and certificates of registries. */
import { parseBody } from "../../schema/parse.ts";

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  /** A refresh token in place of a password. */
  readonly identityToken: string;
}

export interface RegistryTls {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly insecureSkipVerify: boolean;
}

export interface Rewrite {
  readonly pattern: RegExp;
  readonly replacement: string;
}

export interface Mirror {
  /** URLs or hosts, tried in order. */
  readonly endpoints: readonly string[];
  /** For the path of the repository; the first that matches counts. */
  readonly rewrites: readonly Rewrite[];
}

export interface RegistryConfig {
  readonly auth: RegistryAuth | undefined;
  readonly tls: RegistryTls | undefined;
}

/** By the host as images name it, with its port; "*" stands for all others. */
export interface RegistriesConfig {
  readonly mirrors: ReadonlyMap<string, Mirror>;
  readonly configs: ReadonlyMap<string, RegistryConfig>;
}

export const noRegistries: RegistriesConfig = { mirrors: new Map(), configs: new Map() };

/** What is wrong with the file, with the path of the field. */
export class RegistriesError extends Error {
  override readonly name = "RegistriesError";
}

type Fields = Readonly<Record<string, unknown>>;

function fail(path: string, problem: string): never {
  throw new RegistriesError(`${path}: ${problem}`);
}

function fieldsOf(value: unknown, path: string, known?: readonly string[]): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) fail(path, "must be a map");
  const fields = value as Fields;
  const unknown = known && Object.keys(fields).find((name) => !known.includes(name));
  if (unknown !== undefined)
    fail(`${path}.${unknown}`, `is not known; known: ${known?.join(", ")}`);
  return fields;
}

function textOf(value: unknown, path: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") fail(path, "must be a text");
  return value;
}

/** Throws a RegistriesError when the document cannot be used. */
export function parseRegistries(bytes: Uint8Array): RegistriesConfig {
  let document: unknown;
  try {
    document = parseBody(bytes, "application/yaml").value;
  } catch (error) {
    fail("document", error instanceof Error ? error.message : String(error));
  }
  const root = fieldsOf(document, "document", ["mirrors", "configs", "auths"]);
  const mirrors = Object.entries(fieldsOf(root.mirrors, "mirrors")).map(
    ([host, row]) => [host, mirrorOf(row, `mirrors.${host}`)] as const,
  );
  const configs = Object.entries(fieldsOf(root.configs, "configs")).map(
    ([host, row]) => [host, configOf(row, `configs.${host}`)] as const,
  );
  // The old form: credentials by URL.
  const auths = Object.entries(fieldsOf(root.auths, "auths")).map(([url, row]) => {
    const host = URL.canParse(url) ? new URL(url).host : url;
    return [host, { auth: authOf(row, `auths.${url}`), tls: undefined }] as const;
  });
  const all = new Map<string, RegistryConfig>([...auths, ...configs]);
  if (all.get("*")?.auth !== undefined) {
    fail("configs.*.auth", "credentials are for one host: they are not sent to every registry");
  }
  return { mirrors: new Map(mirrors), configs: all };
}

function mirrorOf(row: unknown, path: string): Mirror {
  const { endpoint, rewrite } = fieldsOf(row, path, ["endpoint", "rewrite"]);
  if (endpoint !== undefined && endpoint !== null && !Array.isArray(endpoint)) {
    fail(`${path}.endpoint`, "must be a list");
  }
  const endpoints = ((endpoint ?? []) as readonly unknown[]).map((one, index) => {
    const at = `${path}.endpoint[${index}]`;
    const text = textOf(one, at);
    if (!URL.canParse(withScheme(text))) fail(at, `"${text}" is neither a URL nor a host`);
    return text;
  });
  const rewrites = Object.entries(fieldsOf(rewrite, `${path}.rewrite`)).map(([pattern, to]) => {
    const at = `${path}.rewrite.${pattern}`;
    try {
      return { pattern: new RegExp(pattern), replacement: textOf(to, at) };
    } catch {
      return fail(at, "is no regular expression");
    }
  });
  return { endpoints, rewrites };
}

function configOf(row: unknown, path: string): RegistryConfig {
  const { auth, tls } = fieldsOf(row, path, ["auth", "tls"]);
  return {
    auth: auth === undefined || auth === null ? undefined : authOf(auth, `${path}.auth`),
    tls: tls === undefined || tls === null ? undefined : tlsOf(tls, `${path}.tls`),
  };
}

function authOf(row: unknown, path: string): RegistryAuth {
  const known = ["username", "password", "auth", "identity_token"];
  const fields = fieldsOf(row, path, known);
  const text = (name: string): string => textOf(fields[name], `${path}.${name}`);
  const identityToken = text("identity_token");
  if (text("auth") === "") {
    return { username: text("username"), password: text("password"), identityToken };
  }
  const plain = Buffer.from(text("auth"), "base64").toString();
  const colon = plain.indexOf(":");
  if (colon < 0) fail(`${path}.auth`, "must be the base64 form of user:password");
  return { username: plain.slice(0, colon), password: plain.slice(colon + 1), identityToken };
}

function tlsOf(row: unknown, path: string): RegistryTls {
  const known = ["ca_file", "cert_file", "key_file", "insecure_skip_verify"];
  const fields = fieldsOf(row, path, known);
  const file = (name: string): string | undefined =>
    textOf(fields[name], `${path}.${name}`) || undefined;
  const insecure = fields.insecure_skip_verify ?? false;
  if (typeof insecure !== "boolean") fail(`${path}.insecure_skip_verify`, "must be true or false");
  const [certFile, keyFile] = [file("cert_file"), file("key_file")];
  if ((certFile === undefined) !== (keyFile === undefined)) {
    fail(path, "cert_file and key_file need each other");
  }
  return { caFile: file("ca_file"), certFile, keyFile, insecureSkipVerify: insecure };
}

/** A bare host is asked by HTTPS, one of this machine by HTTP. */
export function withScheme(endpoint: string): string {
  if (/^[a-z]+:\/\//i.test(endpoint)) return endpoint;
  const host = endpoint.split("/")[0] ?? "";
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host);
  const port = /:(\d+)$/.exec(host)?.[1];
  return isLocal && port !== "443" ? `http://${endpoint}` : `https://${endpoint}`;
}
