import { expect, test } from "bun:test";
import { ConfigError, containerEnv, serviceEnv } from "./env.ts";
import { expand } from "./expand.ts";
import type { Container, Pod, Service } from "./types.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "n", uid: "u", labels: { b: "2", a: "1" } },
  spec: { containers: [] },
};
const place = { nodeName: "node", hostIps: ["1.1.1.1"], podIps: ["2.2.2.2"], allocatable: {} };
const lookup = {
  configMap: async (name: string) => (name === "cm" ? new Map([["k", "v"]]) : undefined),
  secret: async () => undefined,
};

const envOf = async (container: Partial<Container>): Promise<Record<string, string>> =>
  Object.fromEntries(
    await containerEnv({
      pod,
      container: { name: "c", ...container },
      place,
      services: [],
      lookup,
    }),
  );

test("expand() resolves references, keeps unknown ones and unescapes", () => {
  const values = new Map([["A", "1"]]);
  expect(expand("$(A)-$(B)-$$(A)-$A-$", values)).toBe("1-$(B)-$(A)-$A-$");
  expect(expand("$(A", values)).toBe("$(A");
});

test("containerEnv() takes values from every source", async () => {
  const env = await envOf({
    envFrom: [{ prefix: "X_", configMapRef: { name: "cm" } }],
    env: [
      { name: "A", value: "1" },
      { name: "B", value: "$(A)$(X_k)" },
      { name: "C", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } },
      { name: "D", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
      { name: "E", valueFrom: { fieldRef: { fieldPath: "metadata.labels" } } },
      { name: "F", valueFrom: { secretKeyRef: { name: "s", key: "k", optional: true } } },
    ],
  });
  expect(env).toEqual({ X_k: "v", A: "1", B: "1v", C: "v", D: "2.2.2.2", E: 'a="1"\nb="2"' });
});

test("containerEnv() fails with Kubernetes' words where something required is absent", async () => {
  const missing = { secretKeyRef: { name: "s", key: "k" } };
  const work = envOf({ env: [{ name: "A", valueFrom: missing }] });
  expect(work).rejects.toEqual(new ConfigError('secret "s" not found'));
  const key = { configMapKeyRef: { name: "cm", key: "no" } };
  const other = envOf({ env: [{ name: "A", valueFrom: key }] });
  expect(other).rejects.toEqual(new ConfigError("couldn't find key no in ConfigMap n/cm"));
});

test("serviceEnv() names the services of the namespace and the API", () => {
  const service = (namespace: string, name: string, clusterIP: string): Service => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace, name },
    spec: { clusterIP, ports: [{ name: "http", port: 80, protocol: "TCP" }] },
  });
  const services = [
    service("default", "kubernetes", "10.43.0.1"),
    service("n", "my-web", "10.43.0.9"),
    service("n", "headless", "None"),
    service("other", "hidden", "10.43.0.8"),
  ];
  const env = serviceEnv(pod, services);
  expect(env.get("KUBERNETES_SERVICE_HOST")).toBe("10.43.0.1");
  expect(env.get("MY_WEB_SERVICE_PORT_HTTP")).toBe("80");
  expect(env.get("MY_WEB_PORT_80_TCP")).toBe("tcp://10.43.0.9:80");
  expect([...env.keys()].some((name) => /HEADLESS|HIDDEN/.test(name))).toBe(false);
});
