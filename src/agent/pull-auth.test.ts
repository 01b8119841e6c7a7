import { expect, test } from "bun:test";
import { pullAuth, registryOf } from "./pull-auth.ts";

test("registryOf() tells hosts from path parts", () => {
  expect(registryOf("busybox")).toBe("docker.io");
  expect(registryOf("library/busybox")).toBe("docker.io");
  expect(registryOf("localhost/app")).toBe("localhost");
  expect(registryOf("registry.example:5000/a/b:1")).toBe("registry.example:5000");
});

test("pullAuth() takes the entry with the longest fitting path", () => {
  const json = JSON.stringify({
    auths: {
      "https://reg.example/v1/": { auth: btoa("a:1") },
      "reg.example/team": { username: "b", password: "2:3" },
    },
  });
  const secrets = [{ type: "kubernetes.io/dockerconfigjson", json }];
  expect(pullAuth("reg.example/team/app:1", secrets)?.username).toBe("b");
  // A server address would have to be a URL of the very host, or containerd sends no password.
  expect(pullAuth("reg.example/team/app:1", secrets)).not.toHaveProperty("serverAddress");
  expect(pullAuth("reg.example/other:1", secrets)).toMatchObject({ username: "a", password: "1" });
  expect(pullAuth("busybox", secrets)).toBeUndefined();
  expect(pullAuth("reg.example/x", [{ type: "kubernetes.io/dockercfg", json: "{" }])).toBe(
    undefined,
  );
});
