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
    await registry.push(testImageArchive, "known/box", "1");
    configure("wrong");
    const flags = [`--private-registry=${file}`, "--disable-default-registry-endpoint"];
    await cluster.start(...flags, ...provider());
  }, 120_000);
  afterAll(async () => {
    await cluster.destroy();
    await registry[Symbol.asyncDispose]();
  }, 60_000);

  /** A program of the node that knows the password for one path of the registry. */
  function provider(): readonly string[] {
    const { host, user, password } = registry;
    const kind = "CredentialProviderResponse";
    const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
    const answer = { kind, apiVersion, cacheKeyType: "Image", auth: {} };
    answer.auth = { [host]: { username: user, password } };
    const script = `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`;
    writeFileSync(`${cluster.dataDir}/knows`, script, { mode: 0o755 });
    const one = { name: "knows", matchImages: [`${host}/known`], defaultCacheDuration: "0s" };
    const config = { kind: "CredentialProviderConfig", apiVersion: "kubelet.config.k8s.io/v1" };
    const providers = [{ ...one, apiVersion }];
    writeFileSync(`${cluster.dataDir}/providers.json`, JSON.stringify({ ...config, providers }));
    return [
      `--image-credential-provider-config=${cluster.dataDir}/providers.json`,
      `--image-credential-provider-bin-dir=${cluster.dataDir}`,
    ];
  }

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

  test("passwords come from a pod's secrets, and from programs of the node", async () => {
    const { host, user, password, caFile } = registry;
    writeFileSync(file, JSON.stringify({ configs: { [host]: { tls: { ca_file: caFile } } } }));
    const image = `${host}/prod/box:1`;
    // The file is followed: until it is read, its old password may let a pod in.
    await cluster.until("the password is forgotten", async () => {
      await run("nobody", image);
      await cluster.until("the pull ends", async () => {
        const state = await field("nobody", ".state");
        return /running|ImagePullBackOff|ErrImagePull/.test(state);
      });
      const isRefused = (await field("nobody", ".state.waiting.reason")) !== "";
      await cluster.run("delete pod nobody --now");
      return isRefused;
    });
    await run("known", `${host}/known/box:1`);
    await cluster.run("wait --for=condition=Ready pod/known --timeout=60s");
    const login = `--docker-server=${host} --docker-username=${user} --docker-password=${password}`;
    await cluster.run(`create secret docker-registry login ${login}`);
    const overrides = JSON.stringify({ spec: { imagePullSecrets: [{ name: "login" }] } });
    await cluster.run([
      "run",
      "secret",
      `--image=${image}`,
      `--overrides=${overrides}`,
      "--image-pull-policy=Always",
      "--",
      "sleep",
      "1000",
    ]);
    await cluster.run("wait --for=condition=Ready pod/secret --timeout=60s");
  });
});
