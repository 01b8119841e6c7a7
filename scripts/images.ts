/**
 * Container images made without a registry: the pause image that goes into the binary, and the
 * busybox image the tests run.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TarEntry, writeTar } from "../src/runtime/tar.ts";
import { mustRun } from "./apt.ts";
import { type Arch, BUILD, extractDeb, fetchDebs } from "./deps.ts";

export const PAUSE_IMAGE = "docker.io/rancher/mirrored-pause:3.6";
export const BUSYBOX_IMAGE = "docker.io/library/k3-busybox:test";

export interface ImageOptions {
  readonly name: string;
  readonly arch: Arch;
  readonly files: readonly TarEntry[];
  /** Layers below the files, made by `layerOf`: images of one archive share them. */
  readonly below?: readonly Blob[];
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly user?: string;
}

export interface Blob {
  readonly digest: string;
  readonly data: Uint8Array;
}

function sha256(data: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(data).digest("hex");
}

function jsonBlob(value: unknown): Blob {
  const data = new TextEncoder().encode(JSON.stringify(value));
  return { digest: sha256(data), data };
}

/** A layer of `files`. */
export function layerOf(files: readonly TarEntry[]): Blob {
  const data = writeTar(files);
  return { digest: sha256(data), data };
}

/** One image as an OCI layout that also carries docker's manifest.json. */
export function imageTar(options: ImageOptions): Uint8Array {
  return imagesTar([options]);
}

/** Several images in one OCI layout; what they share is stored once. */
export function imagesTar(images: readonly ImageOptions[]): Uint8Array {
  const made = images.map(makeImage);
  const index = jsonBlob({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: made.map(({ entry }) => entry),
  });
  const docker = jsonBlob(made.map((image) => image.docker));
  const blobs = new Map(made.flatMap((image) => image.blobs).map((blob) => [pathOf(blob), blob]));
  const file = (path: string, data: Uint8Array): TarEntry => ({
    path,
    type: "file",
    mode: 0o644,
    data,
  });
  return writeTar([
    { path: "blobs", type: "dir", mode: 0o755 },
    { path: "blobs/sha256", type: "dir", mode: 0o755 },
    ...[...blobs].map(([path, blob]) => file(path, blob.data)),
    file("index.json", index.data),
    file("manifest.json", docker.data),
    file("oci-layout", new TextEncoder().encode('{"imageLayoutVersion":"1.0.0"}')),
  ]);
}

interface MadeImage {
  readonly blobs: readonly Blob[];
  /** Its row of index.json and of manifest.json. */
  readonly entry: unknown;
  readonly docker: unknown;
}

const pathOf = (blob: Blob): string => `blobs/sha256/${blob.digest}`;

function makeImage(options: ImageOptions): MadeImage {
  const layers = [...(options.below ?? []), layerOf(options.files)];
  const created = "1970-01-01T00:00:00Z";
  const config = jsonBlob({
    created,
    architecture: options.arch,
    os: "linux",
    config: {
      ...(options.user !== undefined && { User: options.user }),
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...(options.entrypoint && { Entrypoint: options.entrypoint }),
      ...(options.command && { Cmd: options.command }),
      WorkingDir: "/",
    },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${layer.digest}`) },
    history: layers.map(() => ({ created, created_by: "k3" })),
  });
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const layerType = "application/vnd.oci.image.layer.v1.tar";
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: layers.map((layer) => descriptor(layerType, layer)),
  });
  return {
    blobs: [...layers, config, manifest],
    entry: {
      ...descriptor(manifestType, manifest),
      platform: { architecture: options.arch, os: "linux" },
      annotations: {
        "io.containerd.image.name": options.name,
        "org.opencontainers.image.ref.name": options.name.split(":").at(-1),
      },
    },
    docker: { Config: pathOf(config), RepoTags: [options.name], Layers: layers.map(pathOf) },
  };
}

function descriptor(mediaType: string, blob: Blob): Record<string, unknown> {
  return { mediaType, digest: `sha256:${blob.digest}`, size: blob.data.length };
}

/** The pause image: Debian's static catatonit, which reaps children and waits. */
export function pauseImage(arch: Arch, catatonit: Uint8Array): Uint8Array {
  return imageTar({
    name: PAUSE_IMAGE,
    arch,
    files: [{ path: "pause", type: "file", mode: 0o755, data: catatonit }],
    entrypoint: ["/pause", "-P"],
  });
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Files of a small root: busybox with every applet as a link, users, and empty directories. */
export function busyboxRoot(busybox: Uint8Array, applets: readonly string[]): TarEntry[] {
  const dirs = ["bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "usr", "var"];
  const deeper = ["usr/bin", "usr/sbin", "var/log", "var/run", "var/tmp", "www"];
  return [
    ...[...dirs, ...deeper].map((path): TarEntry => ({ path, type: "dir", mode: 0o755 })),
    { path: "tmp", type: "dir", mode: 0o1777 },
    { path: "bin/busybox", type: "file", mode: 0o755, data: busybox },
    ...applets
      .filter((applet) => applet !== "busybox")
      .map((applet): TarEntry => {
        return { path: `bin/${applet}`, type: "symlink", mode: 0o777, target: "busybox" };
      }),
    {
      path: "etc/passwd",
      type: "file",
      mode: 0o644,
      data: encode(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
      ),
    },
    {
      path: "etc/group",
      type: "file",
      mode: 0o644,
      data: encode("root:x:0:\nnogroup:x:65534:\n"),
    },
  ];
}

/** Busybox of `arch` and its applet list, which is asked of the host's own architecture. */
export async function busyboxFiles(arch: Arch): Promise<TarEntry[]> {
  const host = hostArch();
  const own = await busyboxPath(host);
  const busybox = arch === host ? own : await busyboxPath(arch);
  return busyboxRoot(await readFile(busybox), await appletsOf(own));
}

/** What the busybox at `path`, which runs on this machine, can be called as. */
export async function appletsOf(path: string): Promise<string[]> {
  const list = await mustRun([path, "--list"], "The static busybox should run on this machine.");
  return list.trim().split("\n");
}

async function busyboxPath(arch: Arch): Promise<string> {
  const [deb] = await fetchDebs(arch, "image");
  if (deb === undefined) throw new Error("The lock has no busybox-static: bun run deps update");
  const dir = join(BUILD, `busybox-${arch}`);
  await rm(dir, { recursive: true, force: true });
  await extractDeb(deb.path, dir);
  return join(dir, "usr/bin/busybox");
}

/** The architecture this process runs on, in Debian's words. */
export function hostArch(): Arch {
  return process.arch === "arm64" ? "arm64" : "amd64";
}

/** Writes build/images/busybox-ARCH.tar and returns its path. */
export async function buildBusyboxImage(arch: Arch): Promise<string> {
  const path = join(BUILD, "images", `busybox-${arch}.tar`);
  await mkdir(join(BUILD, "images"), { recursive: true });
  const files = await busyboxFiles(arch);
  await Bun.write(path, imageTar({ name: BUSYBOX_IMAGE, arch, files, command: ["sh"] }));
  return path;
}

if (import.meta.main) {
  const arch = (process.env.K3_BUILD_ARCH ?? hostArch()) as Arch;
  console.log(await buildBusyboxImage(arch));
}
