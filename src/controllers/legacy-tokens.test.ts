import { expect, test } from "bun:test";
import { configMaps, pods, secrets, serviceAccounts } from "../client/resources.ts";
import type { Secret } from "../gen/core-v1.ts";
import {
  createLegacyTokenCleaner,
  createLegacyTokenTracking,
  type LegacyTokens,
  planLegacyTokens,
  secretNames,
} from "./legacy-tokens.ts";
import { World } from "./testing/world.ts";

const account = {
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { name: "a", namespace: "x", uid: "1" },
  secrets: [{ name: "t" }],
};

function token(more: Partial<Secret["metadata"]> = {}): Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: {
      name: "t",
      namespace: "x",
      creationTimestamp: "2020-01-01T00:00:00Z",
      annotations: { "kubernetes.io/service-account.name": "a" },
      ...more,
    },
  };
}
const lastUsed = (date: string) => ({ "kubernetes.io/legacy-token-last-used": date });
const invalid = (date: string) => ({ "kubernetes.io/legacy-token-invalid-since": date });

function steps(secret: Secret, more: Partial<LegacyTokens> = {}): readonly string[] {
  return planLegacyTokens({
    secrets: [secret],
    account: (key) => (key === "x/a" ? account : undefined),
    used: new Set(),
    trackedSince: "2024-01-01",
    now: new Date("2026-06-01T12:00:00Z"),
    ...more,
  }).map((step) => step.do);
}

const cases: readonly (readonly [
  what: string,
  steps: readonly string[],
  wanted: readonly string[],
])[] = [
  ["never used", steps(token()), ["mark"]],
  ["used long ago", steps(token({ labels: lastUsed("2025-05-31") })), ["mark"]],
  ["used within a year", steps(token({ labels: lastUsed("2025-06-01") })), []],
  ["used at no date", steps(token({ labels: lastUsed("soon") })), []],
  ["marked long ago", steps(token({ labels: invalid("2025-05-31") })), ["delete"]],
  ["marked within a year", steps(token({ labels: invalid("2025-06-01") })), []],
  ["marked at no date", steps(token({ labels: invalid("x") })), ["mark"]],
  ["young", steps(token({ creationTimestamp: "2026-01-01T00:00:00Z" })), []],
  ["made by hand", steps(token({ name: "other" })), []],
  ["of no account", steps(token({ annotations: {} })), []],
  [
    "of an earlier account",
    steps(
      token({
        annotations: { ...token().metadata.annotations, "kubernetes.io/service-account.uid": "0" },
      }),
    ),
    [],
  ],
  ["of another type", steps({ ...token(), type: "Opaque" }), []],
  ["in a pod", steps(token(), { used: new Set(["x/t"]) }), []],
  ["noted for less than a year", steps(token(), { trackedSince: "2025-06-01" }), []],
  ["not noted", steps(token(), { trackedSince: undefined }), []],
];
for (const [what, found, wanted] of cases) {
  test(`planLegacyTokens() on a token ${what}`, () => expect(found).toEqual(wanted));
}

test("secretNames() finds Secrets all over a pod", () => {
  const names = secretNames({
    imagePullSecrets: [{ name: "pull" }],
    volumes: [
      { name: "a", secret: { secretName: "volume" } },
      { name: "b", projected: { sources: [{ secret: { name: "projected" } }] } },
      { name: "c", csi: { driver: "d", nodePublishSecretRef: { name: "csi" } } },
    ],
    containers: [
      {
        name: "c",
        env: [{ name: "E", valueFrom: { secretKeyRef: { name: "key", key: "k" } } }],
        envFrom: [{ secretRef: { name: "all" } }],
      },
    ],
  });
  expect([...names].sort()).toEqual(["all", "csi", "key", "projected", "pull", "volume"]);
});

test("the date since when tokens are noted is kept, and mended", async () => {
  const world = new World();
  world.run(createLegacyTokenTracking(world.context));
  await world.settle();
  const [at, name] = ["kube-system", "kube-apiserver-legacy-service-account-token-tracking"];
  const today = world.context.runtime.clock.now().toISOString().slice(0, 10);
  const date = () => world.get(configMaps, `${at}/${name}`).data?.since;
  expect(date()).toBe(today);
  await world.client.patch(configMaps, at, name, "merge", { data: { since: "soon" } });
  await world.settle();
  expect(date()).toBe(today);
  await world.client.delete(configMaps, at, name);
  await world.settle();
  expect(world.context.live.of(configMaps).get(`${at}/${name}`)).toBeUndefined();
  await world.advance(31 * 60 * 1000);
  await world.settle();
  expect(date()).toBe(today);
});

test("an unused token is marked, and deleted a year later", async () => {
  const world = new World();
  await world.client.create(serviceAccounts, account);
  await world.client.create(secrets, token());
  const data = { since: "2020-01-01" };
  await world.client.create(configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: "kube-apiserver-legacy-service-account-token-tracking",
      namespace: "kube-system",
    },
    data,
  });
  await world.client.create(pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "y" },
    spec: { containers: [], imagePullSecrets: [{ name: "t" }] },
  });
  world.run(createLegacyTokenCleaner(world.context));
  const year = 367 * 24 * 60 * 60 * 1000;
  await world.advance(year);
  const label = "kubernetes.io/legacy-token-invalid-since";
  expect(world.get(secrets, "x/t").metadata.labels?.[label]).toMatch(/^202[67]-/);
  await world.advance(year);
  expect(world.context.live.of(secrets).get("x/t")).toBeUndefined();
});
