/** The machine's file system behind `Files`. */
import { watch as watchDir } from "node:fs";
import { chmod, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Files } from "./runtime.ts";

/** `unique` gives a name part that no other writer uses. */
export function createFiles(unique: () => string): Files {
  const read = (path: string): Promise<Uint8Array | undefined> =>
    readFile(path).catch(absentAs(undefined));
  return {
    read,
    readText: async (path) => {
      const bytes = await read(path);
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
    writeAtomic: (path, data, mode) => writeAtomic(path, data, mode, unique()),
    writeInPlace: (path, data) => writeFile(path, data),
    remove: (path) => rm(path, { recursive: true, force: true }),
    mkdir: async (path, mode) => {
      await mkdir(path, { recursive: true, mode });
    },
    list: async (dir) => (await readdir(dir).catch(absentAs<string[]>([]))).sort(),
    watch,
  };
}

async function writeAtomic(
  path: string,
  data: Uint8Array | string,
  mode: number,
  unique: string,
): Promise<void> {
  const beside = `${path}.${unique}.tmp`;
  try {
    const file = await open(beside, "wx", mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(beside, mode); // the umask has cut the mode of open
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  // The new name is durable only once its directory is.
  const dir = await open(dirname(path), "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}

async function* watch(dir: string, signal: AbortSignal): AsyncIterable<string> {
  const names: string[] = [];
  let wake = (): void => {};
  let failure: Error | undefined;
  const watcher = watchDir(dir, (_event, name) => {
    if (name !== null) names.push(name);
    wake();
  });
  watcher.on("error", (error) => {
    failure = error;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      const name = names.shift();
      if (name !== undefined) {
        yield name;
        continue;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    watcher.close();
  }
}

function absentAs<T>(value: T): (error: unknown) => T {
  return (error) => {
    const code = (error as { code?: string }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return value;
    throw error;
  };
}
