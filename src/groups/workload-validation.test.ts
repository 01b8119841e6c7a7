/** What is wrong with workloads, quotas and classes, in upstream's words. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { daemonSets, deployments, statefulSets } from "../client/resources.ts";
import type { DaemonSet, Deployment, StatefulSet } from "../gen/apps-v1.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const labels = { app: "a" };
const claim = {
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "data" },
} as const;

function statefulSet(name: string, spec: Partial<StatefulSet["spec"]>): StatefulSet {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name, namespace: "default" },
    spec: {
      serviceName: "s",
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            { name: "c", image: "i", volumeMounts: [{ name: "data", mountPath: "/data" }] },
          ],
        },
      },
      volumeClaimTemplates: [
        {
          ...claim,
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        },
      ],
      ...spec,
    },
  };
}

describe("stateful sets", () => {
  test("mount what their claims are called", async () => {
    expect(await problemsOf(world, statefulSets, statefulSet("good", {}))).toEqual([]);
  });

  test("are judged by their strategies and claims", async () => {
    const odd = statefulSet("odd", {
      serviceName: "a.b",
      podManagementPolicy: "Sometimes",
      updateStrategy: { type: "OnDelete", rollingUpdate: { partition: 1 } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: "Keep" },
      ordinals: { start: -1 },
      volumeClaimTemplates: [{ ...claim, spec: { accessModes: ["ReadWriteOnce"] } }],
    });
    expect(await problemsOf(world, statefulSets, odd)).toEqual([
      "spec.podManagementPolicy: Invalid value: \"Sometimes\": must be 'OrderedReady' or " +
        "'Parallel'",
      'spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for ' +
        "updateStrategy 'RollingUpdate'",
      'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": ' +
        'supported values: "Delete", "Retain"',
      "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
      "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
      'spec.serviceName: Invalid value: "a.b": must not contain dots',
    ]);
  });

  test("keep a status that adds up", async () => {
    const made = await world.client.create(statefulSets, statefulSet("counted", {}));
    const wrong = { ...made, status: { replicas: 1, readyReplicas: 2, availableReplicas: -1 } };
    await expect(
      world.client.update(statefulSets, wrong, { subresource: "status" }),
    ).rejects.toThrow(
      "[status.availableReplicas: Invalid value: -1: must be greater than or equal to 0, " +
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas]",
    );
  });
});

test("daemon sets and deployments are judged by their strategies", async () => {
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
  const daemon: DaemonSet = {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "odd", namespace: "default" },
    spec: {
      selector: { matchLabels: labels },
      template,
      updateStrategy: { rollingUpdate: { maxSurge: 1 } },
    },
  };
  expect(await problemsOf(world, daemonSets, daemon)).toEqual([
    "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when " +
      "maxUnavailable is non-zero",
  ]);
  const deployment: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "odd", namespace: "default" },
    spec: { selector: { matchLabels: labels }, template, strategy: { type: "Rolling" } },
  };
  expect(await problemsOf(world, deployments, deployment)).toEqual([
    'spec.strategy: Unsupported value: {"type":"Rolling"}: supported values: "Recreate", ' +
      '"RollingUpdate"',
  ]);
});
