import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readTar, type TarEntry, writeTar } from "./tar.ts";

async function* pieces(data: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function read(data: Uint8Array, size = 1000): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  let parts: number[] = [];
  await readTar(pieces(data, size), {
    begin: async ({ path, type, mode, target }) => {
      parts = [];
      if (type === "other") throw new Error(`unexpected type of ${path}`);
      if (type !== "file") {
        entries.push({ path, type, mode, ...(target === "" ? {} : { target }) });
      } else entries.push({ path, type, mode });
    },
    write: async (chunk) => void parts.push(...chunk),
    end: async () => {
      const last = entries.pop();
      if (last !== undefined) entries.push({ ...last, data: new Uint8Array(parts) });
    },
  });
  return entries;
}

describe("tar", () => {
  test("reads what it writes, however the stream is cut", async () => {
    const file = fc.record({
      path: fc.stringMatching(/^[a-z]{1,60}(\/[a-z]{1,60}){0,2}$/),
      type: fc.constant("file" as const),
      mode: fc.constantFrom(0o644, 0o755, 0o1777),
      data: fc.uint8Array({ maxLength: 1500 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(file, { maxLength: 5 }),
        fc.integer({ min: 1, max: 3000 }),
        async (files, size) => {
          expect(await read(writeTar(files), size)).toEqual(files);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("keeps directories and links", async () => {
    const entries: TarEntry[] = [
      { path: "bin/", type: "dir", mode: 0o755 },
      { path: "bin/sh", type: "symlink", mode: 0o777, target: "busybox" },
    ];
    expect(await read(writeTar(entries))).toEqual(entries);
  });

  test("refuses a damaged header and a cut end", async () => {
    const tar = writeTar([{ path: "a", type: "file", mode: 0o644, data: new Uint8Array(600) }]);
    const damaged = tar.slice();
    damaged[3] = 1;
    expect(read(damaged)).rejects.toThrow("checksum");
    expect(read(tar.slice(0, 900))).rejects.toThrow("ends inside a file");
    expect(read(tar.slice(0, 1536))).rejects.toThrow("end marker");
  });
});
