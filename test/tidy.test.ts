/** The rules of the house that no compiler checks; each failure names file and line. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dir, "..");

/** Highest first: a folder imports only from rows below its own, and from itself. */
const layers: readonly (readonly string[])[] = [
  ["main"],
  ["cli"],
  ["server"],
  ["controllers", "scheduler", "agent"],
  ["groups"],
  ["api"],
  ["live"],
  ["store", "client"],
  ["schema", "pki"],
  ["runtime"],
  ["lib", "gen", "proto"],
];

/** Below by the table, and still not to be imported. */
const forbidden: Readonly<Record<string, readonly string[]>> = {
  agent: ["store", "api", "groups"],
  controllers: ["store", "api", "groups"],
  scheduler: ["store", "api", "groups"],
};

/** Where each package may be imported: folders or files below src. */
const packages: Readonly<Record<string, readonly string[]>> = {
  "@bufbuild/protobuf": [
    "gen",
    "schema",
    "agent/cri",
    "agent/devices",
    "agent/kubelet",
    "agent/images",
    "store",
  ],
  "@connectrpc/connect": ["agent", "store/etcd", "server/etcd-endpoint"],
  "@connectrpc/connect-node": ["agent", "store/etcd", "server/etcd-endpoint"],
  "dns-packet": ["agent/dns"],
  elysia: ["server/supervisor"],
  hono: ["api", "server", "agent/kubelet-api"],
  "ipaddr.js": ["lib", "schema", "groups", "api", "controllers", "agent", "pki", "cli", "server"],
  jose: ["pki"],
  rfc6902: ["api"],
  yaml: ["schema", "cli", "server", "agent"],
  "bun:ffi": ["runtime"],
  "bun:sqlite": ["store/sqlite"],
};

/** The CRI client is here because HTTP/2 wants to dial its unix socket by itself. */
const outside = ["runtime/", "store/sqlite.ts", "server/front-door.ts", "agent/cri/client.ts"];
const worldCalls: readonly RegExp[] = [
  /\bDate\.now\(/,
  /\bnew Date\(\)/,
  /\bMath\.random\(/,
  /(?<![.\w#])setTimeout\(/,
  /(?<![.\w#])setInterval\(/,
  /(?<![.\w#])fetch\((?!\w+\??:)/,
  /\bBun\.(spawn|spawnSync|file|write|connect|listen|serve|udpSocket|\$)\b/,
  /\bcrypto\.(randomUUID|getRandomValues)\(/,
  /\bperformance\.now\(/,
];
const worldModules = /^node:(fs|fs\/promises|child_process|net|dgram|os|worker_threads)$/;

interface Source {
  /** Below src, for example `store/sqlite.ts`. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly isTest: boolean;
}

interface Import {
  readonly line: number;
  readonly from: string;
}

const sources: readonly Source[] = readdirSync(join(root, "src"), { recursive: true })
  .map(String)
  .filter((path) => path.endsWith(".ts") && !path.startsWith("gen/"))
  .map((path) => ({
    path,
    lines: readFileSync(join(root, "src", path), "utf8").split("\n"),
    isTest: /\.(test|suite)\.ts$|(^|\/)testing\//.test(path),
  }));
const product = sources.filter(({ isTest }) => !isTest);

function folderOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path.replace(/\.ts$/, "");
}

/** An import may span lines: the statement is what matters, the line is where its source stands. */
function importsOf({ lines }: Source): Import[] {
  const found: Import[] = [];
  for (const [i, line] of lines.entries()) {
    const match =
      /^(?:import|export|\}).*\bfrom "([^"]+)"/.exec(line) ??
      /^import "([^"]+)"/.exec(line) ??
      /\bimport\("([^"]+)"\)/.exec(line);
    if (match?.[1] !== undefined) found.push({ line: i + 1, from: match[1] });
  }
  return found;
}

function mayImport(from: string, to: string): boolean {
  const rank = (folder: string): number => layers.findIndex((row) => row.includes(folder));
  if (from === to) return true;
  return rank(to) > rank(from) && !forbidden[from]?.includes(to);
}

/** Code of a line without its line comment; block comments of ours start each line with `*`. */
function codeOf(line: string): string {
  return /^\s*(\*|\/\*|\/\/)/.test(line) ? "" : line.replace(/\s\/\/ .*$/, "");
}

test("folders are in the layer table and import downwards only", () => {
  const wrong: string[] = [];
  for (const source of product) {
    const from = folderOf(source.path);
    if (!layers.flat().includes(from)) wrong.push(`${source.path}: ${from} has no layer`);
    for (const one of importsOf(source)) {
      if (!one.from.startsWith(".")) continue;
      const to = folderOf(normalize(join(dirname(source.path), one.from)));
      if (!mayImport(from, to)) wrong.push(`${source.path}:${one.line} imports ${one.from}`);
      if (!/\.(ts|json)$/.test(one.from)) {
        wrong.push(`${source.path}:${one.line} imports ${one.from} without extension`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test("packages are imported by their folders only", () => {
  const wrong: string[] = [];
  for (const source of product) {
    for (const { from, line } of importsOf(source)) {
      if (/^(\.|node:)/.test(from) || from === "bun") continue;
      const name = /^(@[^/]+\/[^/]+|bun:sqlite|[^/]+)/.exec(from)?.[1] ?? from;
      const places = packages[name] ?? [];
      const fits = places.some(
        (place) => source.path === `${place}.ts` || source.path.startsWith(`${place}/`),
      );
      const fileFamily = places.some((place) => source.path.startsWith(`${place}-`));
      if (!fits && !fileFamily) wrong.push(`${source.path}:${line} imports ${from}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("the outside world is reached through Runtime", () => {
  const wrong: string[] = [];
  for (const source of product) {
    if (outside.some((place) => source.path.startsWith(place))) continue;
    for (const [i, line] of source.lines.entries()) {
      const code = codeOf(line);
      for (const call of worldCalls) {
        if (call.test(code)) wrong.push(`${source.path}:${i + 1} ${code.trim()}`);
      }
    }
    for (const { from, line } of importsOf(source)) {
      if (worldModules.test(from)) wrong.push(`${source.path}:${line} imports ${from}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("lines, files and functions stay small", () => {
  const wrong: string[] = [];
  for (const source of sources) {
    if (source.lines.length > 501) wrong.push(`${source.path} has ${source.lines.length} lines`);
    for (const [i, line] of source.lines.entries()) {
      // An import of one name cannot be broken.
      if (line.length > 100 && !/^import .* from "/.test(line))
        wrong.push(`${source.path}:${i + 1} has ${line.length} characters`);
    }
    if (!source.isTest) wrong.push(...longFunctions(source));
  }
  expect(wrong).toEqual([]);
});

/** Biome's layout tells where a function ends: the first `}` at the depth of its first line. */
function longFunctions({ path, lines }: Source): string[] {
  const wrong: string[] = [];
  for (const [i, line] of lines.entries()) {
    const match =
      /^( *)(?:export )?(?:async )?function\b/.exec(line) ??
      /^( {2})(?!(?:if|for|while|switch|return|else)\b)(?:async )?\*?#?\w+(?:<.*>)?\(.*[({]$/.exec(
        line,
      );
    if (match === null) continue;
    const end = lines.findIndex((other, at) => at > i && other.startsWith(`${match[1]}}`));
    if (end - i + 1 > 70) wrong.push(`${path}:${i + 1} is a function of ${end - i + 1} lines`);
  }
  return wrong;
}

test("no barrels, default exports, any, or promises of later work", () => {
  const wrong: string[] = [];
  const later = new RegExp(`\\b(${["TO", "DO"].join("")}|${["FIX", "ME"].join("")}|XXX)\\b`);
  for (const source of sources) {
    if (/(^|\/)index\.ts$/.test(source.path)) wrong.push(`${source.path} is a barrel`);
    for (const [i, line] of source.lines.entries()) {
      const at = `${source.path}:${i + 1}`;
      if (/^export default\b/.test(line)) wrong.push(`${at} is a default export`);
      if (/^export \* from/.test(line)) wrong.push(`${at} re-exports a file`);
      if (/\bas any\b|: any\b|<any>|@ts-(ignore|nocheck)/.test(codeOf(line))) {
        wrong.push(`${at} switches the type checker off`);
      }
      if (later.test(line)) wrong.push(`${at} promises later work`);
      if (/[^\x20-\x7e]/.test(line) && /[\u{2028}\u{202a}-\u{202e}\u{2066}-\u{2069}]/u.test(line)) {
        wrong.push(`${at} has invisible direction marks`);
      }
    }
  }
  expect(wrong).toEqual([]);
});
