/**
 * KubeletConfiguration files: K3s' folder `agent/etc/kubelet.conf.d`, and what `--kubelet-arg`
 * names by `config` and `config-dir`. Later ones win; all are turned into arguments.
 */
import { posix } from "node:path";
import { parse } from "yaml";
import type { Files } from "../runtime/runtime.ts";
import { bad } from "./flags.ts";

type Tree = Readonly<Record<string, unknown>>;

const kind = "KubeletConfiguration";
const apiVersion = "kubelet.config.k8s.io/v1beta1";

export interface ConfigFiles {
  readonly files: Files;
  /** `<data-dir>/agent/etc/kubelet.conf.d`; undefined for who may not look there. */
  readonly dropInDir: string | undefined;
  /** What `config` names. */
  readonly file: string | undefined;
  /** What `config-dir` names. */
  readonly dir: string | undefined;
}

/** All files as one configuration, merged as upstream merges drop-ins. */
export async function readKubeletConfig(options: ConfigFiles): Promise<Tree> {
  const { files, dropInDir, file, dir } = options;
  const named = async (path: string): Promise<readonly string[]> => {
    const names = (await files.list(path)).filter((name) => name.endsWith(".conf"));
    return names.map((name) => posix.join(path, name));
  };
  const paths = [
    ...(dropInDir === undefined ? [] : await named(dropInDir)),
    ...(file === undefined ? [] : [file]),
    ...(dir === undefined ? [] : await named(dir)),
  ];
  let all: Tree = {};
  for (const path of paths) all = merged(all, await readOne(files, path));
  return all;
}

async function readOne(files: Files, path: string): Promise<Tree> {
  const text = await files.readText(path);
  if (text === undefined) throw bad("kubelet-arg", `config=${path}`, "there is no such file");
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw bad("kubelet-arg", `config=${path}`, `it is no YAML: ${(error as Error).message}`);
  }
  if (!isTree(value) || value.kind !== kind || value.apiVersion !== apiVersion) {
    throw bad("kubelet-arg", `config=${path}`, `it must hold a ${kind} of ${apiVersion}`);
  }
  const { kind: _kind, apiVersion: _version, ...rest } = value;
  return rest;
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function merged(one: Tree, next: Tree): Tree {
  const result: Record<string, unknown> = { ...one };
  for (const [key, value] of Object.entries(next)) {
    const before = result[key];
    if (value === null) delete result[key];
    else result[key] = isTree(before) && isTree(value) ? merged(before, value) : value;
  }
  return result;
}

/** How the value of a field is written as an argument. */
export type FieldText = (value: unknown) => string;

/** Every field of `config` as `name=value`; `rows` tells the argument of each path. */
export function configArguments(
  config: Tree,
  rows: ReadonlyMap<string, { readonly argument: string; readonly text?: FieldText }>,
): readonly string[] {
  const given: string[] = [];
  const walk = (tree: Tree, above: string): void => {
    for (const [key, value] of Object.entries(tree)) {
      const path = above === "" ? key : `${above}.${key}`;
      const row = rows.get(path);
      if (row !== undefined) given.push(`${row.argument}=${(row.text ?? plain)(value)}`);
      else if (isTree(value) && isAbove(path, rows)) walk(value, path);
      else throw bad("kubelet-arg", `config: ${path}`, `unknown field ${JSON.stringify(path)}`);
    }
  };
  walk(config, "");
  return given;
}

function isAbove(path: string, rows: ReadonlyMap<string, unknown>): boolean {
  return [...rows.keys()].some((known) => known.startsWith(`${path}.`));
}

function plain(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : `${value}`;
}

/** A map as the flags take it. */
export function pairsText(separator: "<" | "="): FieldText {
  return (value) => {
    if (!isTree(value)) return `${value}`;
    return Object.entries(value)
      .map(([name, one]) => `${name}${separator}${one}`)
      .join();
  };
}

export const listText: FieldText = (value) => (Array.isArray(value) ? value.join() : `${value}`);
