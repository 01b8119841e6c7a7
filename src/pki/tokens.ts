/** The tokens by which nodes join: K3s's forms, files and password table. */
import { createHash, X509Certificate } from "node:crypto";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { certificatesOf } from "./x509.ts";

export type Token =
  | { readonly type: "short"; readonly password: string }
  | {
      readonly type: "full";
      readonly caHash: string;
      readonly user: string;
      readonly password: string;
    }
  | {
      readonly type: "bootstrap";
      readonly caHash: string | undefined;
      readonly id: string;
      readonly secret: string;
    };

const bootstrapForm = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;

/** The hash in a full token: it pins the authority that the server's certificate chains to. */
export function caHash(caPem: string): string {
  const chain = certificatesOf(caPem);
  const root = chain.at(-1);
  const hash = createHash("sha256");
  // One certificate: the file as it is. A chain: only the root, so that intermediates may change.
  if (chain.length <= 1 || root === undefined) return hash.update(caPem).digest("hex");
  return hash.update(root.raw).digest("hex");
}

export function formatToken(caPem: string, user: string, password: string): string {
  return `K10${caHash(caPem)}::${user}:${password}`;
}

/** Understands every form of a token; throws a RangeError that says what is wrong. */
export function parseToken(text: string): Token {
  const trimmed = text.trim();
  if (trimmed === "") throw new RangeError("Cannot use an empty token");
  const short = bootstrapForm.exec(trimmed);
  if (short !== null)
    return { type: "bootstrap", caHash: undefined, id: short[1] ?? "", secret: short[2] ?? "" };
  if (!trimmed.startsWith("K10")) {
    if (trimmed.includes("::"))
      throw new RangeError("Cannot use the token: a token with :: must begin with K10");
    return { type: "short", password: trimmed };
  }
  const [, hash = "", credentials = ""] = /^K10(.*?)::(.*)$/.exec(trimmed) ?? [];
  if (!/^[0-9a-f]{64}$/.test(hash))
    throw new RangeError("Cannot use the token: K10 must be followed by the 64 digits of a hash");
  const bootstrap = bootstrapForm.exec(credentials);
  if (bootstrap !== null)
    return {
      type: "bootstrap",
      caHash: hash,
      id: bootstrap[1] ?? "",
      secret: bootstrap[2] ?? "",
    };
  const [user = "", ...rest] = credentials.split(":");
  const password = rest.join(":");
  if (user === "" || password === "")
    throw new RangeError("Cannot use the token: user and password must follow the hash");
  return { type: "full", caHash: hash, user, password };
}

/** The password alone, whatever form the token was given in. */
export function passwordOf(token: Token): string {
  return token.type === "bootstrap" ? `${token.id}.${token.secret}` : token.password;
}

/** Who a name and password of the token table are. */
export interface TokenUser {
  readonly name: string;
  readonly password: string;
  readonly groups: readonly string[];
}

export interface ServerTokens {
  /** Full form, user `server`. */
  readonly serverToken: string;
  /** Full form; what agents should be given. */
  readonly agentToken: string;
  readonly users: readonly TokenUser[];
}

export interface EnsureTokensOptions {
  readonly dataDir: string;
  readonly runtime: Runtime;
  readonly host: Host;
  readonly serverCaPem: string;
  /** From flags; undefined keeps the one on disk, or makes one. */
  readonly token: string | undefined;
  readonly agentToken: string | undefined;
}

/** Writes `server/token`, its links and `server/cred/passwd`. */
export async function ensureTokens(options: EnsureTokensOptions): Promise<ServerTokens> {
  const { dataDir, runtime, serverCaPem } = options;
  const dir = `${dataDir}/server`;
  await runtime.files.mkdir(`${dir}/cred`, 0o700);
  const stored = await runtime.files.readText(`${dir}/token`);
  const given = options.token ?? stored ?? Buffer.from(runtime.random.bytes(16)).toString("hex");
  const password = passwordOf(parseToken(given));
  const agentPassword =
    options.agentToken === undefined ? password : passwordOf(parseToken(options.agentToken));
  const serverToken = formatToken(serverCaPem, "server", password);
  const agentToken =
    options.agentToken === undefined
      ? serverToken
      : formatToken(serverCaPem, "node", agentPassword);
  await writeIfChanged(runtime, `${dir}/token`, `${serverToken}\n`);
  await linkTo(options.host, "token", `${dir}/node-token`);
  if (options.agentToken === undefined) await linkTo(options.host, "token", `${dir}/agent-token`);
  else {
    if ((await options.host.stat(`${dir}/agent-token`, false))?.kind === "symlink")
      await runtime.files.remove(`${dir}/agent-token`);
    await writeIfChanged(runtime, `${dir}/agent-token`, `${agentToken}\n`);
  }
  const users: readonly TokenUser[] = [
    { name: "node", password: agentPassword, groups: ["k3s:agent"] },
    { name: "server", password, groups: ["k3s:server"] },
  ];
  await writeIfChanged(runtime, `${dir}/cred/passwd`, passwordTable(users));
  return { serverToken, agentToken, users };
}

/** `password,user,uid,groups`, quoted as CSV wants it. */
export function passwordTable(users: readonly TokenUser[]): string {
  const field = (text: string): string =>
    /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  return users
    .map(({ name, password, groups }) =>
      [password, name, name, groups.join(",")].map(field).join(","),
    )
    .map((line) => `${line}\n`)
    .join("");
}

async function writeIfChanged(runtime: Runtime, file: string, text: string): Promise<void> {
  if ((await runtime.files.readText(file)) === text) return;
  await runtime.files.writeAtomic(file, text, 0o600);
}

async function linkTo(host: Host, target: string, path: string): Promise<void> {
  if ((await host.readLink(path).catch(() => undefined)) === target) return;
  await host.remove(path);
  await host.symlink(target, path);
}

/** True when `certPem`'s chain ends in the authority that a full token pins. */
export function isPinned(token: Token, caPem: string): boolean {
  if (token.type === "short" || token.caHash === undefined) return true;
  return new X509Certificate(caPem).ca && caHash(caPem) === token.caHash;
}
