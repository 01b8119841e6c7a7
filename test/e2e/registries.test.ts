/** registries.yaml against a real registry: mirrors, rewrites, certificates, users, live changes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { Cluster, reasonToSkip, testImageArchive } from "./cluster.ts";
import { DockerRegistry, reasonForNoRegistry } from "./docker-registry.ts";

const skip = reasonToSkip() ?? reasonForNoRegistry();
if (skip !== undefined) console.log(`left out: registries: ${skip}`);

describe.skipIf(skip !== undefined)("registries.yaml", () => {
  const cluster = new Cluster();
  const file = `${cluster.dataDir}/registries.yaml`;
  let registry: DockerRegistry;

  function configure(password: string): void {
    const { host, user, caFile } = registry;
    const mirror = { endpoint: [`https://${host}`], rewrite: { "^library/(.*)": "prod/$1" } };
    const auth = { username: user, password };
    const configs = { [host]: { auth, tls: { ca_file: caFile } } };
    writeFileSync(file, JSON.stringify({ mirrors: { "docker.io": mirror }, configs }));
  }

  beforeAll(async () => {
    registry = await DockerRegistry.start(25_443, "puller", "right");
    await registry.push(testImageArchive, "prod/box", "1");
    configure("wrong");
    const flags = [`--private-registry=${file}`, "--disable-default-registry-endpoint"];
    await cluster.start(...flags);
  }, 120_000);
  afterAll(async () => {
    await cluster.destroy();
    await registry[Symbol.asyncDispose]();
  }, 60_000);

  const run = (name: string, image: string) =>
    cluster.run(`run ${name} --image=${image} --image-pull-policy=Always -- sleep 1000`);
  const field = (name: string, path: string) =>
    cluster.run(`get pod ${name} -o jsonpath={.status.containerStatuses[0]${path}}`);

  test("a wrong password is the pod's reason to wait", async () => {
    await run("refused", "box:1");
    await cluster.until("the pull fails", async () =>
      (await field("refused", ".state.waiting.reason")).includes("ImagePull"),
    );
    expect(await field("refused", ".state.waiting.message")).toContain("docker.io/library/box:1");
  });

  test("the right one counts as soon as it is written, without a restart", async () => {
    const hosts = `${cluster.dataDir}/agent/etc/containerd/certs.d`;
    expect(readdirSync(hosts).sort()).toEqual([`127.0.0.1_${registry.port}_`, "docker.io"]);
    configure("right");
    await run("allowed", "docker.io/library/box:1");
    await cluster.run("wait --for=condition=Ready pod/allowed pod/refused --timeout=60s");
    expect(await field("allowed", ".image")).toBe("docker.io/library/box:1");
  });

  test("the registry's own name is not rewritten", async () => {
    await run("direct", `${registry.host}/prod/box:1`);
    await cluster.run("wait --for=condition=Ready pod/direct --timeout=60s");
  });

  test("a file that cannot be used is told of, and what held before holds on", async () => {
    writeFileSync(file, "mirrors: [docker.io]");
    await cluster.until("the mistake is told", async () =>
      cluster.log().includes("mirrors: must be a map"),
    );
    await run("still", "docker.io/library/box:1");
    await cluster.run("wait --for=condition=Ready pod/still --timeout=60s");
  });
});
