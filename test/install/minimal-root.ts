/** A root directory with busybox and nothing else: no C library, no container programs. */
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const repository = join(import.meta.dir, "../..");
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
// Looked up here: the environment inside has another PATH.
const chroot = Bun.which("chroot", { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }) ?? "chroot";
const busybox = join(repository, `build/busybox-${architecture}/usr/bin/busybox`);
const release = join(repository, `dist/release/k3-${architecture}`);
const plain = join(repository, `dist/k3-${architecture}`);

/** Why the test cannot run here, or undefined when it can. */
export function reasonToSkip(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root: chroot and mounts";
  if (!existsSync(busybox) || !existsSync(plain)) return "needs dist/: run scripts/build first";
  return undefined;
}

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class MinimalRoot {
  readonly path: string;
  readonly #mounts: string[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes the root, with the self-extracting form of k3 at /k3. */
  static async create(): Promise<MinimalRoot> {
    // Outside of the checkout: a root that a killed run leaves holds a /proc without end, which
    // the next search for tests would walk through.
    const root = new MinimalRoot(mkdtempSync(join(tmpdir(), "k3-minimal-root-")));
    for (const dir of ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/lib"]) {
      mkdirSync(join(root.path, dir), { recursive: true });
    }
    copyFileSync(busybox, join(root.path, "bin/busybox"));
    linkSync(join(root.path, "bin/busybox"), join(root.path, "bin/sh"));
    await root.#mount("-t", "proc", "proc", "proc");
    await root.#mount("--rbind", "/sys", "sys");
    await root.#mount("--rbind", "/dev", "dev");
    return root;
  }

  /** Puts the binary at /k3: the release form when it was built, else the plain one packed so. */
  async install(): Promise<void> {
    const target = join(this.path, "k3");
    if (existsSync(release) && newer(release, plain)) copyFileSync(release, target);
    else await quickRelease(target);
  }

  /** Starts a program inside, with an empty environment but for PATH and HOME. */
  spawn(argv: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn([chroot, this.path, ...argv], {
      env: { PATH: "/bin", HOME: "/root" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  /** Runs a program inside to its end. */
  async run(...argv: readonly string[]): Promise<Run> {
    const child = this.spawn(argv);
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }

  async dispose(): Promise<void> {
    for (const path of this.#mounts.reverse()) {
      await Bun.spawn(["umount", "-R", "-l", path], { stderr: "ignore" }).exited;
    }
    rmSync(this.path, { recursive: true, force: true });
  }

  async #mount(...args: string[]): Promise<void> {
    const target = join(this.path, args.pop() ?? "");
    const done = await Bun.spawn(["mount", ...args, target]).exited;
    if (done !== 0) throw new Error(`cannot mount ${target}`);
    // Nothing mounted inside may reach the machine's own tree, nor the other way round.
    await Bun.spawn(["mount", "--make-rprivate", target]).exited;
    this.#mounts.push(target);
  }
}

function newer(a: string, b: string): boolean {
  return Bun.file(a).lastModified >= Bun.file(b).lastModified;
}

/** The release form as `scripts/build` makes it, but hardly compressed: seconds, not minutes. */
async function quickRelease(target: string): Promise<void> {
  const script = join(repository, "scripts/release.ts");
  const child = Bun.spawn([process.execPath, script, "--quick", architecture, plain, target], {
    stderr: "pipe",
  });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(said);
}
