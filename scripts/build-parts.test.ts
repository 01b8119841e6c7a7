import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTar } from "../src/runtime/tar.ts";
import { parseStanza } from "./apt.ts";
import { filterBranches } from "./branch-filter.ts";
import { isLibraryPackage, readLock } from "./deps.ts";
import { readElf, withOwnLoader } from "./elf.ts";
import { removeExports } from "./elf-exports.ts";
import { busyboxRoot, imageTar } from "./images.ts";

async function files(tar: Uint8Array): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  let path = "";
  const one = async function* (): AsyncIterable<Uint8Array> {
    yield tar;
  };
  await readTar(one(), {
    begin: async (header) => {
      path = header.path;
    },
    write: async (chunk) => void found.set(path, chunk.slice()),
    end: async () => {},
  });
  return found;
}

const json = (data: Uint8Array | undefined) => JSON.parse(new TextDecoder().decode(data));

test("a stanza of a Packages file", () => {
  const stanza = [
    "Package: nftables",
    "Version: 1.1.7-3",
    "Architecture: amd64",
    "Pre-Depends: libx1 (>= 2)",
    "Depends: libnftables1 (= 1.1.7-3), libc6 (>= 2.34) | libc6-other, libedit2",
    "Filename: pool/main/n/nftables/nftables_1.1.7-3_amd64.deb",
    "Size: 79820",
    "SHA256: abc",
    "Description: Program to control packet filtering",
    " Depends: this line belongs to the description",
  ].join("\n");
  expect(parseStanza(stanza)).toMatchObject({
    name: "nftables",
    size: 79820,
    depends: ["libx1", "libnftables1", "libc6", "libedit2"],
  });
  expect(() => parseStanza("Package: x")).toThrow("without");
});

test("library packages by name", () => {
  const names = ["libc6", "zlib1g", "libcap2-bin", "libzstd-dev", "libc-bin", "debconf"];
  expect(names.filter(isLibraryPackage)).toEqual(["libc6", "zlib1g"]);
});

test("the lock names no host, and every package by hash", async () => {
  const { packages } = await readLock();
  expect(packages.length).toBeGreaterThan(50);
  for (const entry of packages) {
    expect(entry.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(entry.file).toStartWith("pool/");
  }
});

describe("ELF", () => {
  test("reads what a program needs", async () => {
    const program = await Bun.file(process.execPath).bytes();
    const facts = readElf(program);
    expect(facts?.needed).toContain("libc.so.6");
    expect(facts?.interpreter?.size).toBeGreaterThan(10);
    expect(readElf(new TextEncoder().encode("#!/bin/sh"))).toBeUndefined();
  });

  test("moves the loader's path to the end and leaves the code alone", async () => {
    const program = await Bun.file(process.execPath).bytes();
    const own = withOwnLoader(program, 256);
    expect(own.length).toBe(program.length + 256);
    expect(readElf(own)?.interpreter).toEqual({ offset: program.length, size: 256 });
    let changed = 0;
    for (let at = 0; at < program.length; at++) if (own[at] !== program[at]) changed++;
    expect(changed).toBeLessThan(64);
  });
});

describe("exports", () => {
  test("a program without the names it offers still runs, and nothing has moved", async () => {
    // The shell offers its own functions to what it might load.
    const shell = readFileSync(Bun.which("bash") ?? "/bin/bash");
    const without = Buffer.from(shell);
    removeExports(without);
    expect(without.length).toBe(shell.length);
    const name = Buffer.from("\0execute_command_internal\0");
    expect([shell.includes(name), without.includes(name)]).toEqual([true, false]);
    expect(readElf(without)).toEqual(readElf(shell) as NonNullable<ReturnType<typeof readElf>>);
    const dir = mkdtempSync(join(tmpdir(), "exports-"));
    const path = join(dir, "bash");
    writeFileSync(path, without, { mode: 0o755 });
    const ran = Bun.spawnSync([path, "-c", "echo $((6 * 7)) ~"], {
      env: { HOME: "/root", LD_BIND_NOW: "1" },
    });
    rmSync(dir, { recursive: true });
    expect([ran.stderr.toString(), ran.stdout.toString()]).toEqual(["", "42 /root\n"]);
  });
});

describe("branch filter", () => {
  test("amd64: calls of one function from two places read the same", () => {
    const code = new Uint8Array(32);
    const view = new DataView(code.buffer);
    for (const at of [4, 16]) {
      code[at] = 0xe8;
      view.setInt32(at + 1, 1000 - at, true);
    }
    filterBranches("amd64", code);
    expect(view.getInt32(5)).toBe(1000);
    expect(view.getInt32(17)).toBe(1000);
  });

  test("arm64: calls of one function from two places read the same", () => {
    const view = new DataView(new ArrayBuffer(32));
    for (const at of [4, 16]) view.setUint32(at, (0x94000000 | (250 - at / 4)) >>> 0, true);
    filterBranches("arm64", new Uint8Array(view.buffer));
    expect(view.getUint32(4, true)).toBe(0x940000fa);
    expect(view.getUint32(16, true)).toBe(0x940000fa);
  });
});

describe("images", () => {
  test("descriptors point at blobs that exist and match", async () => {
    const root = busyboxRoot(new Uint8Array([1, 2, 3]), ["busybox", "sh", "wget"]);
    const tar = imageTar({ name: "docker.io/a/b:c", arch: "arm64", files: root, command: ["sh"] });
    const found = await files(tar);
    const [described] = json(found.get("index.json")).manifests;
    expect(described.annotations["io.containerd.image.name"]).toBe("docker.io/a/b:c");
    const blob = (digest: string): Uint8Array | undefined => {
      const data = found.get(`blobs/${digest.replace(":", "/")}`);
      const hash = new Bun.CryptoHasher("sha256").update(data ?? "").digest("hex");
      expect(`sha256:${hash}`).toBe(digest);
      return data;
    };
    const manifest = json(blob(described.digest));
    const config = json(blob(manifest.config.digest));
    expect(config).toMatchObject({ architecture: "arm64", config: { Cmd: ["sh"] } });
    blob(manifest.layers[0].digest);
    expect(config.rootfs.diff_ids).toEqual([manifest.layers[0].digest]);
    const [docker] = json(found.get("manifest.json"));
    expect(found.has(docker.Config)).toBe(true);
    expect(docker.RepoTags).toEqual(["docker.io/a/b:c"]);
  });

  test("every applet but busybox itself is a link", () => {
    const links = busyboxRoot(new Uint8Array(), ["busybox", "sh"]).filter(
      (entry) => entry.type === "symlink",
    );
    expect(links.map((entry) => [entry.path, entry.target])).toEqual([["bin/sh", "busybox"]]);
  });
});
