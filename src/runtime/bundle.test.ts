import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Payload, paddedPath, readManifest, unpackBundle } from "./bundle.ts";
import { MANIFEST_FILE, type Manifest, PATH_SIZE } from "./bundle-manifest.ts";
import { type TarEntry, writeTar } from "./tar.ts";

let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "bundle-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const LIBRARIES_AT = 16 + PATH_SIZE;

/** A payload of one program, its loader's path at 16 and its libraries' after it, and a library. */
function payload(name: string, change: (entries: TarEntry[]) => void = () => {}): Payload {
  const program = new Uint8Array(LIBRARIES_AT + PATH_SIZE + 4).fill(0x6b);
  program.set(bytes(name.slice(0, 16)));
  const manifest: Manifest = {
    arch: "amd64",
    loader: "ld.so",
    files: [
      {
        path: "bin/tool",
        mode: 0o755,
        size: program.length,
        sha256: "",
        interpreterOffset: 16,
        libraryPathOffset: LIBRARIES_AT,
      },
      { path: "lib/ld.so", mode: 0o755, size: 6, sha256: "" },
    ],
  };
  const entries: TarEntry[] = [
    { path: MANIFEST_FILE, type: "file", mode: 0o644, data: bytes(JSON.stringify(manifest)) },
    { path: "bin", type: "dir", mode: 0o755 },
    { path: "bin/tool", type: "file", mode: 0o755, data: program },
    { path: "lib", type: "dir", mode: 0o755 },
    { path: "lib/ld.so", type: "file", mode: 0o755, data: bytes("loader") },
  ];
  change(entries);
  const data = new Uint8Array(Bun.zstdCompressSync(writeTar(entries)));
  const sha256 = new Bun.CryptoHasher("sha256").update(data).digest("hex");
  return { data: new Blob([data]), sha256 };
}

const versions = (): string[] =>
  readdirSync(join(dataDir, "data"))
    .filter((name) => name.length === 64)
    .sort();

/** The descriptor that lists the others is gone when its own link is read. */
function openPath(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

describe("unpackBundle", () => {
  test("lays out the files, writes the loader's path and links the version", async () => {
    const first = payload("first");
    const bundle = await unpackBundle({ dataDir, payload: first });
    expect(bundle.root).toBe(join(dataDir, "data", first.sha256));
    expect(bundle.cni).toBe(join(dataDir, "data/cni"));
    const tool = readFileSync(join(bundle.bin, "tool"));
    const written = (at: number): string =>
      new TextDecoder().decode(tool.subarray(at, at + PATH_SIZE)).replaceAll("\0", "");
    expect(written(16)).toBe(join(bundle.root, "lib/ld.so"));
    expect(written(LIBRARIES_AT)).toBe(join(bundle.root, "lib"));
    expect(new TextDecoder().decode(tool.subarray(-4))).toBe("kkkk");
    expect(statSync(join(bundle.bin, "tool")).mode & 0o777).toBe(0o755);
    expect(readlinkSync(join(dataDir, "data/current"))).toBe(first.sha256);
    expect(readlinkSync(join(dataDir, "data/cni"))).toBe("current/cni");
    expect(readManifest(bundle.root)?.files).toHaveLength(2);
  });

  test("does nothing when the version is there", async () => {
    const first = payload("first");
    const bundle = await unpackBundle({ dataDir, payload: first });
    const before = statSync(join(bundle.bin, "tool")).ino;
    const unreadable: Payload = { data: new Blob(["not a tar"]), sha256: first.sha256 };
    await unpackBundle({ dataDir, payload: unreadable });
    expect(statSync(join(bundle.bin, "tool")).ino).toBe(before);
  });

  test("many callers at once unpack once", async () => {
    const first = payload("first");
    const calls = Array.from({ length: 5 }, () => unpackBundle({ dataDir, payload: first }));
    expect(new Set((await Promise.all(calls)).map((bundle) => bundle.root)).size).toBe(1);
    expect(versions()).toEqual([first.sha256]);
  });

  test("a part left by a killed unpack is removed", async () => {
    const leftover = join(dataDir, "data/.unpack-abc/bin");
    mkdirSync(leftover, { recursive: true });
    writeFileSync(join(leftover, "tool"), "half");
    await unpackBundle({ dataDir, payload: payload("first") });
    expect(existsSync(join(dataDir, "data/.unpack-abc"))).toBe(false);
  });

  test("a damaged payload leaves nothing behind and the old version in place", async () => {
    const first = payload("first");
    await unpackBundle({ dataDir, payload: first });
    const whole = new Uint8Array(await payload("second").data.arrayBuffer());
    const cut: Payload = { data: new Blob([whole.slice(0, 80)]), sha256: "b".repeat(64) };
    expect(unpackBundle({ dataDir, payload: cut })).rejects.toThrow("cannot unpack");
    await unpackBundle({ dataDir, payload: first });
    expect(versions()).toEqual([first.sha256]);
    expect(readdirSync(join(dataDir, "data")).filter((n) => n.startsWith(".unpack"))).toEqual([]);
  });

  test("refuses paths that lead outside and files the manifest does not know", async () => {
    const outside = payload("outside", (entries) => {
      entries.push({ path: "../evil", type: "file", mode: 0o644, data: bytes("x") });
    });
    expect(unpackBundle({ dataDir, payload: outside })).rejects.toThrow("unsafe path");
    const unknown = payload("unknown", (entries) => {
      entries.push({ path: "bin/extra", type: "file", mode: 0o644, data: bytes("x") });
    });
    expect(unpackBundle({ dataDir, payload: unknown })).rejects.toThrow("manifest");
  });

  test("an archive that is refused inside a file leaves no file open", async () => {
    const wrongSize = payload("wrong", (entries) => {
      entries[4] = { path: "lib/ld.so", type: "file", mode: 0o755, data: bytes("loader, longer") };
    });
    const unpacked = unpackBundle({ dataDir, payload: wrongSize });
    expect(unpacked).rejects.toThrow("lib/ld.so is not as the manifest says");
    await unpacked.catch(() => {});
    const open = readdirSync("/proc/self/fd").map((fd) => openPath(fd) ?? "");
    expect(open.filter((path) => path.startsWith(dataDir))).toEqual([]);
  });

  test("keeps the current, the previous and every running version", async () => {
    const [first, second, third, fourth] = ["first", "second", "third", "fourth"].map((name) =>
      payload(name),
    ) as [Payload, Payload, Payload, Payload];
    const bundle = await unpackBundle({ dataDir, payload: first });
    const shim = join(bundle.bin, "shim");
    copyFileSync("/bin/sleep", shim);
    chmodSync(shim, 0o755);
    const running = Bun.spawn([shim, "600"]);
    try {
      for (const next of [second, third, fourth]) await unpackBundle({ dataDir, payload: next });
      expect(versions()).toEqual([first.sha256, third.sha256, fourth.sha256].sort());
      expect(readlinkSync(join(dataDir, "data/previous"))).toBe(third.sha256);
    } finally {
      running.kill("SIGKILL");
      await running.exited;
    }
    await unpackBundle({ dataDir, payload: third });
    expect(versions()).toEqual([third.sha256, fourth.sha256].sort());
  });
});

test("a path that does not fit is refused", () => {
  expect(paddedPath("/data/lib/ld.so")).toHaveLength(PATH_SIZE);
  expect(() => paddedPath(`/${"d".repeat(260)}`)).toThrow("6 bytes shorter");
});
