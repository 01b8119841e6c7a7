import { describe, expect, test } from "bun:test";
import type { Node, Pod } from "../../gen/core-v1.ts";
import type { DeviceRequest, ResourceSlice } from "../../gen/resource-v1.ts";
import { emptyNodeInfo } from "../node-info.ts";
import { type Allocated, allocatedDevices } from "./allocated.ts";
import { allocate } from "./allocator.ts";
import { readinessOf } from "./binding-conditions.ts";
import { extendedClaim, withRequests } from "./extended.ts";
import { devicesOn, planDevices, preferenceOf, reliefFor } from "./plan.ts";
import { indexSlices } from "./pools.ts";
import { allocationOf } from "./result.ts";
import {
  type DeviceClaim,
  type DeviceView,
  type LiveDevice,
  type LiveDeviceClass,
  noDevices,
} from "./view.ts";

const node = (name: string, labels: Record<string, string> = {}): Node =>
  ({ apiVersion: "v1", kind: "Node", metadata: { name, labels } }) as Node;

type Spec = Partial<ResourceSlice["spec"]>;

function slice(name: string, devices: readonly LiveDevice[], more: Spec = {}): ResourceSlice {
  const pool = { name: "p", generation: 1, resourceSliceCount: 1 };
  const spec = { driver: "gpu.example.com", pool, nodeName: "n", devices, ...more };
  const metadata = { name };
  return { apiVersion: "resource.k8s.io/v1", kind: "ResourceSlice", metadata, spec } as never;
}

function deviceClass(name: string, more: object = {}): LiveDeviceClass {
  const metadata = { name, creationTimestamp: "2026-01-01T00:00:00Z" };
  return { apiVersion: "resource.k8s.io/v1", kind: "DeviceClass", metadata, spec: { ...more } };
}

interface World {
  readonly slices?: readonly ResourceSlice[];
  readonly claims?: readonly DeviceClaim[];
  readonly classes?: readonly LiveDeviceClass[];
}

function viewOf({ slices = [], claims = [], classes = [deviceClass("gpu")] }: World): DeviceView {
  return {
    ...noDevices,
    slices: () => slices,
    claims: () => claims,
    claim: (namespace, name) =>
      claims.find((one) => one.metadata.namespace === namespace && one.metadata.name === name),
    classes: () => classes,
    deviceClass: (name) => classes.find((one) => one.metadata.name === name),
  };
}

type Asked = Partial<NonNullable<DeviceRequest["exactly"]>>;

function request(name: string, more: Asked = {}): DeviceRequest {
  const standard = { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1 };
  return { name, exactly: { ...standard, ...more } };
}

function claim(requests: readonly DeviceRequest[], more: object = {}, status = {}): DeviceClaim {
  const metadata = { name: "c", namespace: "default", uid: "c" };
  const spec = { devices: { requests, ...more } };
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata,
    spec,
    status,
  } as never;
}

const free: Allocated = { devices: new Set(), shared: new Map() };

function allocateOn(
  world: World,
  claims: readonly DeviceClaim[],
  allocated = free,
  on = node("n"),
) {
  const slices = indexSlices(world.slices ?? []);
  return allocate({ claims, node: on, view: viewOf(world), slices, allocated });
}

/** The names of the devices, by claim; undefined when there are not enough. */
function found(
  world: World,
  claims: readonly DeviceClaim[],
  allocated = free,
  on = node("n"),
): string[] | undefined {
  return allocateOn(world, claims, allocated, on)?.map(({ devices }) =>
    devices
      .map(({ wanted, candidate }) => `${wanted.name.request}:${candidate.device.name}`)
      .join(),
  );
}

const plain = (...names: string[]): LiveDevice[] => names.map((name) => ({ name }));
const byExpression = (expression: string) => ({ selectors: [{ cel: { expression } }] });

describe("devices", () => {
  const slices = [slice("s", plain("a", "b", "c"))];

  test("are taken in order, each once", () => {
    expect(found({ slices }, [claim([request("x", { count: 2 })])])).toEqual(["x:a,x:b"]);
    expect(found({ slices }, [claim([request("x")]), claim([request("y")])])).toEqual([
      "x:a",
      "y:b",
    ]);
    expect(found({ slices }, [claim([request("x", { count: 4 })])])).toBeUndefined();
    const taken = { ...free, devices: new Set(["gpu.example.com/p/a"]) };
    expect(found({ slices }, [claim([request("x")])], taken)).toEqual(["x:b"]);
  });

  test("are chosen by the expressions of class and request", () => {
    const devices: LiveDevice[] = [
      { name: "old", attributes: { version: { version: "1.2.0" } } },
      {
        name: "small",
        attributes: { version: { version: "2.0.0" } },
        capacity: { memory: { value: "1Gi" } },
      },
      {
        name: "big",
        attributes: { version: { version: "2.1.0" } },
        capacity: { memory: { value: "8Gi" } },
      },
    ];
    const domain = '["gpu.example.com"]';
    const newer = `device.attributes${domain}.version.isGreaterThan(semver("1.9.0"))`;
    const large = `device.capacity${domain}.memory.compareTo(quantity("2Gi")) >= 0`;
    const world = {
      slices: [slice("s", devices)],
      classes: [deviceClass("gpu", byExpression(newer))],
    };
    expect(found(world, [claim([request("x")])])).toEqual(["x:small"]);
    // What has no such capacity fails the expression: a guard keeps that from happening.
    const guarded = `device.capacity${domain}.?memory.hasValue() && ${large}`;
    expect(found(world, [claim([request("x", byExpression(guarded))])])).toEqual(["x:big"]);
    const broken = claim([request("x", byExpression(`device.attributes${domain}.none == 1`))]);
    expect(() => found(world, [broken])).toThrow(
      "claim default/c: selector #0: CEL runtime error: no such key: none",
    );
  });

  test("of All are all of the node's, or none", () => {
    const all = request("x", { allocationMode: "All", count: 0 });
    expect(found({ slices }, [claim([all])])).toEqual(["x:a,x:b,x:c"]);
    expect(found({ slices: [slice("s", [])] }, [claim([all])])).toBeUndefined();
    const taken = { ...free, devices: new Set(["gpu.example.com/p/c"]) };
    expect(found({ slices }, [claim([all])], taken)).toBeUndefined();
    const half = slice("s", plain("a"), {
      pool: { name: "p", generation: 1, resourceSliceCount: 2 },
    });
    expect(() => found({ slices: [half] }, [claim([all])])).toThrow(
      "asks for all devices, but resource pool gpu.example.com/p is currently being updated",
    );
  });

  test("in use may be administered, as often as one likes", () => {
    const taken = { ...free, devices: new Set(["gpu.example.com/p/a"]) };
    const admin = request("x", { adminAccess: true });
    expect(found({ slices }, [claim([admin])], taken)).toEqual(["x:a"]);
    const result = { request: "x", driver: "gpu.example.com", pool: "p", device: "a" };
    const allocation = { devices: { results: [{ ...result, adminAccess: true }] } };
    const world = viewOf({ claims: [claim([admin], {}, { allocation })] });
    expect(allocatedDevices(world).devices.size).toBe(0);
  });

  test("with taints are left to those who tolerate them", () => {
    const taint = { key: "sick", value: "yes", effect: "NoSchedule" };
    const harmless = { key: "note", effect: "None" };
    const devices = [
      { name: "a", taints: [taint] },
      { name: "b", taints: [harmless] },
    ];
    const world = { slices: [slice("s", devices)] };
    expect(found(world, [claim([request("x")])])).toEqual(["x:b"]);
    const tolerations = [{ key: "sick", operator: "Equal", value: "yes" }];
    expect(found(world, [claim([request("x", { tolerations, count: 2 })])])).toEqual(["x:a,x:b"]);
  });

  test("of a class that is not there are an error", () => {
    expect(() => found({ slices, classes: [] }, [claim([request("x")])])).toThrow(
      "claim default/c, request x: could not retrieve device class gpu",
    );
  });

  test("more than a claim can hold are an error", () => {
    expect(() => found({ slices }, [claim([request("x", { count: 33 })])])).toThrow(
      "claim default/c: number of requested devices 33 exceeds the claim limit of 32",
    );
  });
});

describe("constraints", () => {
  const at = (name: string, zone: string): LiveDevice => ({
    name,
    attributes: { zone: { string: zone } },
  });
  const slices = [slice("s", [at("a", "1"), at("b", "2"), at("c", "2"), { name: "d" }])];
  const attribute = "gpu.example.com/zone";

  test("what must match is looked for until it does", () => {
    const match = { constraints: [{ matchAttribute: attribute }] };
    expect(found({ slices }, [claim([request("x"), request("y")], match)])).toEqual(["x:b,y:c"]);
    expect(found({ slices }, [claim([request("x", { count: 3 })], match)])).toBeUndefined();
  });

  test("what must differ does", () => {
    const distinct = { constraints: [{ distinctAttribute: attribute }] };
    expect(found({ slices }, [claim([request("x", { count: 2 })], distinct)])).toEqual(["x:a,x:b"]);
    expect(found({ slices }, [claim([request("x", { count: 3 })], distinct)])).toBeUndefined();
  });

  test("one for some requests leaves the others alone", () => {
    const match = { constraints: [{ requests: ["x"], matchAttribute: attribute }] };
    expect(found({ slices }, [claim([request("x"), request("y")], match)])).toEqual(["x:a,y:b"]);
  });
});

describe("alternatives", () => {
  const sub = (name: string, count: number) => ({
    name,
    deviceClassName: "gpu",
    allocationMode: "ExactCount",
    count,
  });
  const either: DeviceRequest = { name: "x", firstAvailable: [sub("many", 3), sub("few", 1)] };

  test("are tried in turn, and the one that was met is preferred by its place", () => {
    const asked = claim([either]);
    const pod = {
      metadata: { namespace: "default" },
      spec: { resourceClaims: [{ name: "r", resourceClaimName: "c" }], containers: [] },
    } as never;
    const met = (...names: string[]) => {
      const view = viewOf({ slices: [slice("s", plain(...names))], claims: [asked] });
      const plan = planDevices(pod, view);
      if (plan === undefined || typeof plan === "string") throw new Error("no plan");
      const devices = devicesOn(plan, emptyNodeInfo(node("n")));
      if (typeof devices === "string") return devices;
      const [result] = devices.results;
      const allocation = result && allocationOf(result, "n", () => "");
      const requests = allocation?.devices?.results?.map((one) => one.request);
      return [requests, preferenceOf(plan, devices)];
    };
    expect(met("a", "b", "c")).toEqual([["x/many", "x/many", "x/many"], 8]);
    expect(met("a")).toEqual([["x/few"], 7]);
    expect(met()).toBe("cannot allocate all claims");
  });

  test("another alternative is taken when the next request needs the devices", () => {
    const slices = [slice("s", plain("a", "b", "c"))];
    const claims = [claim([either, request("y", { count: 2 })])];
    expect(found({ slices }, claims)).toEqual(["x:a,y:b,y:c"]);
  });
});

describe("pools", () => {
  const pool = (generation: number, resourceSliceCount = 1) => ({
    name: "p",
    generation,
    resourceSliceCount,
  });
  const one = [claim([request("x")])];

  test("only the newest generation counts, and only when it is complete", () => {
    const old = slice("a", plain("old"), { pool: pool(1) });
    const now = slice("b", plain("new"), { pool: pool(2) });
    expect(found({ slices: [old, now] }, one)).toEqual(["x:new"]);
    expect(
      found({ slices: [slice("b", plain("new"), { pool: pool(2, 2) })] }, one),
    ).toBeUndefined();
    // The pool moved on to another node.
    const away = slice("b", plain("new"), { pool: pool(2), nodeName: "m" });
    expect(
      found({ slices: [slice("a", plain("old"), { pool: pool(1, 2) }), away] }, one),
    ).toBeUndefined();
  });

  test("two devices of one name make a pool invalid", () => {
    const slices = [slice("s", plain("a", "a"))];
    expect(() => found({ slices }, one)).toThrow("invalid resource pools were encountered");
  });

  test("devices are there by name, by selector, for all, or each for itself", () => {
    const nodeSelector = {
      nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In", values: ["1"] }] }],
    };
    const { nodeName: _, ...spec } = slice("s", plain("a")).spec;
    const placed = (more: Spec, devices = plain("a")): World => ({
      slices: [{ ...slice("s", []), spec: { ...spec, devices, ...more } } as never],
    });
    const near = node("m", { zone: "1" });
    expect(found(placed({ nodeName: "n" }), one, free, near)).toBeUndefined();
    expect(found(placed({ nodeSelector }), one, free, near)).toEqual(["x:a"]);
    expect(found(placed({ nodeSelector }), one, free, node("n"))).toBeUndefined();
    expect(found(placed({ allNodes: true }), one, free, near)).toEqual(["x:a"]);
    const each = placed({ perDeviceNodeSelection: true }, [
      { name: "a", nodeName: "n" },
      { name: "b", nodeSelector },
    ]);
    expect(found(each, one, free, near)).toEqual(["x:b"]);
  });
});

test("parts of one piece of hardware share its counters", () => {
  const part = (name: string, value: string): LiveDevice => ({
    name,
    consumesCounters: [{ counterSet: "card", counters: { memory: { value } } }],
  });
  const pool = { name: "p", generation: 1, resourceSliceCount: 2 };
  const { devices: _, ...shared } = slice("s", [], { pool }).spec;
  const sharedCounters = [{ name: "card", counters: { memory: { value: "40Gi" } } }];
  const slices = [
    slice("a", [part("whole", "40Gi"), part("half-1", "20Gi"), part("half-2", "20Gi")], { pool }),
    { ...slice("s", []), spec: { ...shared, sharedCounters } },
  ];
  expect(found({ slices }, [claim([request("x", { count: 2 })])])).toEqual(["x:half-1,x:half-2"]);
  const taken = { ...free, devices: new Set(["gpu.example.com/p/half-1"]) };
  expect(found({ slices }, [claim([request("x")])], taken)).toEqual(["x:half-2"]);
  expect(found({ slices }, [claim([request("x", { count: 2 })])], taken)).toBeUndefined();
});

describe("shared devices", () => {
  const nic: LiveDevice = {
    name: "nic",
    allowMultipleAllocations: true,
    capacity: {
      bandwidth: {
        value: "10Gi",
        requestPolicy: { default: "1Gi", validRange: { min: "1Gi", step: "1Gi" } },
      },
    },
  };
  const slices = [slice("s", [nic])];
  const asking = (bandwidth: string) => request("x", { capacity: { requests: { bandwidth } } });

  test("serve as many as have room, by steps", () => {
    const [result] = allocateOn({ slices }, [claim([asking("1500Mi")])]) ?? [];
    expect(result && allocationOf(result, "n", () => "share").devices?.results).toEqual([
      {
        request: "x",
        driver: "gpu.example.com",
        pool: "p",
        device: "nic",
        shareID: "share",
        consumedCapacity: { bandwidth: "2Gi" },
      },
    ]);
    expect(found({ slices }, [claim([asking("6Gi")]), claim([asking("4Gi")])])).toHaveLength(2);
    expect(found({ slices }, [claim([asking("6Gi")]), claim([asking("5Gi")])])).toBeUndefined();
  });

  test("what others have is gone; what does not exist cannot be had", () => {
    const consumedCapacity = { bandwidth: "9Gi" };
    const share = {
      request: "x",
      driver: "gpu.example.com",
      pool: "p",
      device: "nic",
      shareID: "s",
    };
    const status = { allocation: { devices: { results: [{ ...share, consumedCapacity }] } } };
    const inUse = allocatedDevices(viewOf({ claims: [claim([], {}, status)] }));
    expect(found({ slices }, [claim([asking("1Gi")])], inUse)).toEqual(["x:nic"]);
    expect(found({ slices }, [claim([asking("2Gi")])], inUse)).toBeUndefined();
    const other = request("x", { capacity: { requests: { other: "1" } } });
    expect(found({ slices }, [claim([other])])).toBeUndefined();
  });
});

describe("what is written down", () => {
  test("configuration comes from classes, once each, and from the claim", () => {
    const opaque = (name: string) => ({ opaque: { driver: "d", parameters: { name } } });
    const world = {
      slices: [slice("s", plain("a", "b"))],
      classes: [deviceClass("gpu", { config: [opaque("class")] })],
    };
    const config = [
      opaque("all"),
      { requests: ["y"], ...opaque("y") },
      { requests: ["z"], ...opaque("z") },
    ];
    const asked = claim([request("x"), request("y")], { config });
    const [result] = allocateOn(world, [asked]) ?? [];
    const allocation = result && allocationOf(result, "n", () => "");
    expect(allocation?.devices?.config).toEqual([
      { source: "FromClass", requests: ["x", "y"], ...opaque("class") },
      { source: "FromClaim", ...opaque("all") },
      { source: "FromClaim", requests: ["y"], ...opaque("y") },
    ]);
    const matchFields = [{ key: "metadata.name", operator: "In", values: ["n"] }];
    expect(allocation?.nodeSelector).toEqual({ nodeSelectorTerms: [{ matchFields }] });
  });
});

test("devices that must be made ready are waited for, and given up in time", () => {
  const named = { driver: "d", pool: "p", device: "a" };
  const allocationTimestamp = "2026-01-01T00:00:00Z";
  const results = [
    { request: "x", ...named, bindingConditions: ["Ready"], bindingFailureConditions: ["Broken"] },
  ];
  const at = (minutes: number, ...types: string[]) => {
    const conditions = types.map((type) => ({ type, status: "True", reason: "R", message: "m" }));
    const devices = [{ ...named, conditions }];
    const status = { allocation: { devices: { results }, allocationTimestamp }, devices };
    return readinessOf(
      claim([], {}, status),
      new Date(Date.parse(allocationTimestamp) + minutes * 60_000),
    );
  };
  expect(at(1)).toEqual({ type: "waiting" });
  expect(at(11)).toEqual({ type: "timed-out" });
  expect(at(1, "Ready")).toEqual({ type: "ready" });
  expect(at(1, "Ready", "Broken")).toEqual({ type: "failed", reason: "R", message: "m" });
});

test("a claim that binds its pod to a node that will not do is given back", () => {
  const pod = {
    metadata: { namespace: "default", uid: "p" },
    spec: { containers: [], resourceClaims: [{ name: "r", resourceClaimName: "c" }] },
  } as never;
  const matchFields = [{ key: "metadata.name", operator: "In", values: ["gone"] }];
  const allocation = {
    devices: { results: [] },
    nodeSelector: { nodeSelectorTerms: [{ matchFields }] },
  };
  const nodes = [emptyNodeInfo(node("n"))];
  const reliefs = ["p", "other"].map((uid) => {
    const reservedFor = [{ resource: "pods", name: "p", uid }];
    const stuck = claim([], {}, { allocation, reservedFor });
    return reliefFor(pod, viewOf({ claims: [stuck] }), nodes).message;
  });
  expect(reliefs).toEqual(["deallocation of ResourceClaim completed", "still not schedulable"]);
  const plain = { metadata: {}, spec: { containers: [] } } as never;
  expect(reliefFor(plain, viewOf({}), nodes).message).toBe("no new claims to deallocate");
});

test("extended resources become requests; containers that end early share with the others", () => {
  const resource = "example.com/gpu";
  const container = (name: string, count: number) => ({
    name,
    image: "i",
    resources: { requests: { cpu: "1", [resource]: String(count) } },
  });
  const pod = {
    metadata: { name: "p", namespace: "default", uid: "u" },
    spec: {
      initContainers: [container("first", 1), container("second", 5)],
      containers: [container("main", 2)],
    },
  } as unknown as Pod;
  const view = viewOf({
    classes: [deviceClass("gpu", { extendedResourceName: resource })],
    slices: [slice("s", plain("a", "b", "c", "d", "e"))],
  });
  const { claim: made, mappings } = withRequests(extendedClaim(pod, view), pod, [resource], view);
  const counts = made.spec.devices?.requests?.map(({ name, exactly }) => [name, exactly?.count]);
  expect(counts).toEqual([
    ["container-1-request-1", 3],
    ["container-2-request-1", 2],
  ]);
  expect(mappings.map((one) => `${one.containerName} ${one.requestName}`)).toEqual([
    "main container-2-request-1",
    "first container-2-request-1",
    "second container-2-request-1",
    "second container-1-request-1",
  ]);
  const plan = planDevices(pod, view);
  if (plan === undefined || typeof plan === "string") throw new Error("no plan");
  const devices = devicesOn(plan, emptyNodeInfo(node("n")));
  expect(typeof devices === "string" ? devices : devices.results[0]?.devices).toHaveLength(5);
});
