/**
 * What a new user does on a bare Debian machine: a fresh clone, scripts/run, a node. The machine is
 * a root made by debootstrap from the sources of this machine's apt. Takes minutes and the network,
 * so it runs only when asked for: K3_FRESH_DEBIAN=1.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

const repository = join(import.meta.dir, "../..");
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const minuteMs = 60_000;

function reasonToSkip(): string | undefined {
  if (process.env.K3_FRESH_DEBIAN === undefined) return "takes minutes; K3_FRESH_DEBIAN=1 runs it";
  if (process.getuid?.() !== 0) return "needs root: chroot and mounts";
  const missing = ["debootstrap", "git"].find(
    (name) => Bun.which(name, { PATH: systemPath }) === null,
  );
  return missing === undefined ? undefined : `needs ${missing}: apt-get install ${missing}`;
}
const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: fresh Debian: ${skip}`);

async function run(...argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, PATH: systemPath },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) === 0) return `${out}${err}`;
  throw new Error(`${argv.join(" ")} failed:\n${out.slice(-2000)}${err.slice(-2000)}`);
}

/** Where this machine's Debian comes from: the mirror and the release. */
async function debianSource(): Promise<{ readonly mirror: string; readonly release: string }> {
  const format = "$(REPO_URI) $(CODENAME) $(ORIGIN) $(LABEL)";
  const targets = await run("apt-get", "indextargets", "--format", format, "Created-By: Packages");
  const [mirror = "", release = ""] =
    targets
      .split("\n")
      .find((line) => line.endsWith(" Debian Debian"))
      ?.split(" ") ?? [];
  if (mirror === "") throw new Error("apt on this machine has no Debian repository");
  return { mirror, release };
}

describe.skipIf(skip !== undefined)("on a fresh Debian", () => {
  const mounts: string[] = [];
  let root = "";

  beforeAll(async () => {
    root = mkdtempSync(join(repository, "build/fresh-debian-"));
    const { mirror, release } = await debianSource();
    await run("debootstrap", "--variant=minbase", release, root, mirror);
    await run("git", "clone", "--quiet", "--no-local", repository, join(root, "root/k3"));
    await mount("-t", "proc", "proc", "proc");
    await mount("--rbind", "/sys", "sys");
    await mount("--rbind", "/dev", "dev");
    await mount("-t", "tmpfs", "tmpfs", "run");
    // The machine's own authorities, where a proxy between it and the registry has one.
    const authorities = process.env.NODE_EXTRA_CA_CERTS ?? "";
    if (existsSync(authorities)) copyFileSync(authorities, join(root, "root/authorities.pem"));
  }, 10 * minuteMs);

  afterAll(async () => {
    if (existsSync(join(root, "root/k3/dist/k3"))) await inside("/root/k3/dist/k3", "killall");
    for (const path of mounts.reverse()) await run("umount", "-R", "-l", path);
    rmSync(root, { recursive: true, force: true });
  }, minuteMs);

  async function mount(...args: readonly string[]): Promise<void> {
    const target = join(root, args.at(-1) ?? "");
    await run("mount", ...args.slice(0, -1), target);
    // Nothing mounted inside may reach the machine's own tree, nor the other way round.
    await run("mount", "--make-rprivate", target);
    mounts.push(target);
  }

  function inside(...argv: readonly string[]): Promise<string> {
    const proxies = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [`${name}=${value}`];
    });
    const authorities = existsSync(join(root, "root/authorities.pem"))
      ? ["NODE_EXTRA_CA_CERTS=/root/authorities.pem", "SSL_CERT_FILE=/root/authorities.pem"]
      : [];
    const env = [`PATH=${systemPath}`, "HOME=/root", ...proxies, ...authorities];
    return run("chroot", root, "env", "-i", ...env, ...argv);
  }

  test(
    "scripts/run installs, builds and starts a node",
    async () => {
      const said = await inside("/root/k3/scripts/run");
      expect(said).toContain("k3: The node is Ready\n");
      expect(said).toMatch(/ Ready +control-plane /);
    },
    20 * minuteMs,
  );

  test(
    "scripts/run once more finds the node running",
    async () => {
      expect(await inside("/root/k3/scripts/run")).toContain("k3: A node is running already");
    },
    5 * minuteMs,
  );
});
