/** Dynamic resource allocation with a real driver: from a claim to what a container sees. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { createClient } from "@connectrpc/connect";
import { openSocket } from "../../src/agent/cri/client.ts";
import type { Pod } from "../../src/gen/core-v1.ts";
import { PodResourcesLister } from "../../src/gen/cri/podresources_pb.ts";
import type { ResourceClaim } from "../../src/gen/resource-v1.ts";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { DraDriver } from "./dra-driver.ts";
import { apply, becomes, ended, events, field, pod, shell } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: dra: ${skip}`);

const driverName = "gpu.example.com";
const className = "gpu";
const checkpoint = "/var/lib/kubelet/dra_manager_state";

function slice(devices: readonly object[], generation = 1) {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name: "k3-e2e-gpu" },
    spec: {
      driver: driverName,
      nodeName: "k3-e2e",
      pool: { name: "k3-e2e", generation, resourceSliceCount: 1 },
      devices,
    },
  };
}

const devices = [
  { name: "gpu-0", attributes: { model: { string: "small" } } },
  { name: "gpu-1", attributes: { model: { string: "large" } } },
];
const large = `device.attributes["${driverName}"].model == "large"`;
const requests = (expression?: string) => ({
  devices: {
    requests: [
      {
        name: "card",
        exactly: {
          deviceClassName: className,
          ...(expression === undefined ? {} : { selectors: [{ cel: { expression } }] }),
        },
      },
    ],
  },
});

function claim(name: string, spec: object = requests()) {
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceClaim", metadata: { name }, spec };
}

const resources = { claims: [{ name: "gpu" }] };

describe.skipIf(skip !== undefined)("dra", () => {
  let cluster: Cluster;
  const json = async (line: string) => JSON.parse(await cluster.run(`get ${line} -o json`));
  const claims = async (): Promise<readonly ResourceClaim[]> =>
    (await json("resourceclaims")).items;
  const driver = new DraDriver(driverName, async (uid) => {
    const found = (await claims()).find(({ metadata }) => metadata.uid === uid);
    return found?.status?.allocation?.devices?.results ?? [];
  });
  const uses = (name: string, source: object, script = "exec sleep 1000", more = {}) =>
    pod(name, {
      containers: [shell("main", script, { resources })],
      resourceClaims: [{ name: "gpu", ...source }],
      ...more,
    });
  const remove = (...names: readonly string[]) => cluster.run(["delete", "pod", ...names]);

  beforeAll(async () => {
    // What an earlier cluster of this machine left behind.
    rmSync(checkpoint, { force: true });
    cluster = new Cluster();
    await cluster.start();
    await driver.start();
    const metadata = { name: className };
    await apply(
      cluster,
      {
        apiVersion: "resource.k8s.io/v1",
        kind: "DeviceClass",
        metadata,
        spec: {
          selectors: [{ cel: { expression: `device.driver == "${driverName}"` } }],
          extendedResourceName: "example.com/gpu",
        },
      },
      slice(devices),
    );
  });
  afterAll(async () => {
    await cluster?.destroy();
    await driver.stop();
  });

  test("a pod gets the device that its template asks for, and gives it back", async () => {
    const template = {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaimTemplate",
      metadata: { name: "large" },
      spec: { spec: requests(large) },
    };
    const source = { resourceClaimTemplateName: "large" };
    await apply(cluster, template, uses("templated", source, 'test "$DEVICE_CARD" = gpu-1'));
    await ended(cluster, "templated");
    const status = "{.status.resourceClaimStatuses[0].resourceClaimName}";
    const name = await field(cluster, "templated", status);
    expect(name).toStartWith("templated-gpu-");
    await cluster.until("the claim is gone", async () => (await claims()).length === 0);
    expect(driver.calls).toEqual([`prepare ${name}`, `unprepare ${name}`]);
  });

  test("pods share a named claim; it is told of to listeners and freed by the last", async () => {
    const source = { resourceClaimName: "shared" };
    await apply(cluster, claim("shared"), uses("one", source), uses("two", source));
    for (const name of ["one", "two"]) {
      await becomes(cluster, name, "{.status.phase}", "Running");
      const shown = await cluster.run(["exec", name, "--", "sh", "-c", "echo $DEVICE_CARD"]);
      expect(shown).toContain("gpu-");
    }
    const [shared] = await claims();
    expect(shared?.status?.reservedFor?.map((one) => one.name).sort()).toEqual(["one", "two"]);
    expect(shared?.metadata.finalizers).toEqual(["resource.kubernetes.io/delete-protection"]);
    const { transport, close } = openSocket("/var/lib/kubelet/pod-resources/kubelet.sock");
    const { podResources } = await createClient(PodResourcesLister, transport).list({});
    close();
    expect(podResources.find((one) => one.name === "one")?.containers).toMatchObject([
      { dynamicResources: [{ claimName: "shared", claimResources: [{ driverName }] }] },
    ]);
    expect(existsSync(checkpoint)).toBe(true);
    const health = "{.status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health}";
    await becomes(cluster, "one", health, "Unknown");
    const [result] = shared?.status?.allocation?.devices?.results ?? [];
    driver.sicken(result?.pool ?? "", result?.device ?? "");
    await becomes(cluster, "one", health, "Unhealthy");
    await remove("one");
    expect(driver.count("unprepare shared")).toBe(0);
    await remove("two");
    await cluster.until("the claim is free", async () => {
      return (await claims()).every(({ status }) => status?.allocation === undefined);
    });
    expect([driver.count("prepare shared"), driver.count("unprepare shared")]).toEqual([1, 1]);
    await cluster.run("delete resourceclaim shared");
  });

  test("who finds no device waits for one", async () => {
    await apply(cluster, claim("first", requests(large)), claim("second", requests(large)));
    await apply(cluster, uses("has", { resourceClaimName: "first" }));
    await becomes(cluster, "has", "{.status.phase}", "Running");
    await apply(cluster, uses("waits", { resourceClaimName: "second" }));
    const message = "{.status.conditions[?(@.type=='PodScheduled')].message}";
    await becomes(
      cluster,
      "waits",
      message,
      "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: " +
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    await remove("has");
    await becomes(cluster, "waits", "{.status.phase}", "Running");
    await remove("waits");
    await cluster.run("delete resourceclaim first second");
  });

  test("a device that cannot be prepared is tried again", async () => {
    driver.failure = "it is on fire";
    await apply(cluster, claim("burns"), uses("patient", { resourceClaimName: "burns" }));
    await becomes(cluster, "patient", "{.status.phase}", "Running");
    expect(await events(cluster, "patient")).toContain(
      "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources " +
        "failed for ResourceClaim burns: it is on fire",
    );
    await remove("patient");
    await cluster.run("delete resourceclaim burns");
  });

  test("an extended resource is served by a device", async () => {
    const limits = { resources: { limits: { "example.com/gpu": "1" } } };
    const script = "env | grep -q ^DEVICE_CONTAINER_0_REQUEST_0=gpu-";
    await apply(cluster, pod("extended", { containers: [shell("main", script, limits)] }));
    await ended(cluster, "extended");
    const mapping = "{.status.extendedResourceClaimStatus.requestMappings[0].requestName}";
    expect(await field(cluster, "extended", mapping)).toBe("container-0-request-0");
    await cluster.until("the claim is gone", async () => (await claims()).length === 0);
  });

  test("pods leave a device with a taint", async () => {
    await apply(cluster, claim("tainted"), uses("leaves", { resourceClaimName: "tainted" }));
    await becomes(cluster, "leaves", "{.status.phase}", "Running");
    const taints = [{ key: "sick", effect: "NoExecute" }];
    await apply(cluster, slice(devices.map((device) => ({ ...device, taints }))));
    await cluster.until("the pod is gone", async () => {
      return (await json("pods")).items.every((one: Pod) => one.metadata.name !== "leaves");
    });
    await cluster.run("delete resourceclaim tainted");
  });

  test("slices of a driver that is away go", async () => {
    await driver.stop();
    await cluster.until("the slice is gone", async () => {
      return (await json("resourceslices")).items.length === 0;
    });
  });
});
