/** k3 runs where nothing is installed: a root with a static busybox and the one file. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MinimalRoot, reasonToSkip } from "./minimal-root.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: minimal root: ${skip}`);

describe.skipIf(skip !== undefined)("in a root with busybox only", () => {
  let root: MinimalRoot;

  beforeAll(async () => {
    root = await MinimalRoot.create();
    await root.install();
  }, 120_000);

  afterAll(() => root?.dispose());

  test("there is no C library and no container program", async () => {
    expect(existsSync(join(root.path, "lib64"))).toBe(false);
    expect(readdirSync(join(root.path, "bin")).sort()).toEqual(["busybox", "sh"]);
  });

  test("k3 --version", async () => {
    const { code, stdout, stderr } = await root.run("/k3", "--version");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^k3 version v1\.36\.\d+\+k3\.\d+/);
    expect(code).toBe(0);
  });

  test("unpacks once, and nothing is left of the unpacking", async () => {
    const data = join(root.path, "var/lib/rancher/k3s/data");
    const before = readdirSync(data).filter((name) => name.startsWith("k3-"));
    await root.run("/k3", "--version");
    expect(readdirSync(data).filter((name) => name.startsWith("k3-"))).toEqual(before);
    expect(readdirSync(data).filter((name) => /^\.k3-/.test(name))).toEqual([]);
  });

  test("many first starts at once all work", async () => {
    const starts = Array.from({ length: 4 }, () =>
      root.run("/bin/sh", "-c", "K3S_DATA_DIR=/tmp/many exec /k3 --version"),
    );
    for (const { code, stderr } of await Promise.all(starts)) {
      expect(stderr).toBe("");
      expect(code).toBe(0);
    }
  }, 60_000);

  test("k3 kubectl version --client", async () => {
    const { code, stdout, stderr } = await root.run("/k3", "kubectl", "version", "--client");
    expect(stderr).toBe("");
    expect(stdout).toContain("Client Version: v1.36.");
    expect(code).toBe(0);
  }, 60_000);

  test("k3 server answers /readyz", async () => {
    const port = 20_000 + (process.pid % 10_000);
    const server = root.spawn([
      "/k3",
      "server",
      "--disable-agent",
      "--data-dir=/var/lib/rancher/k3s",
      `--https-listen-port=${port}`,
      "--write-kubeconfig=/root/k3.yaml",
    ]);
    const log = new Response(server.stderr).text();
    try {
      const deadline = Date.now() + 60_000;
      let answer = "";
      while (answer !== "ok" && server.exitCode === null && Date.now() < deadline) {
        const raw = ["kubectl", "--kubeconfig=/root/k3.yaml", "get", "--raw", "/readyz"];
        answer = (await root.run("/k3", ...raw)).stdout;
      }
      if (server.exitCode !== null) throw new Error(`k3 server stopped: ${await log}`);
      expect(answer).toBe("ok");
    } finally {
      server.kill("SIGTERM");
      await server.exited;
    }
  }, 120_000);
});
