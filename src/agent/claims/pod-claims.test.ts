import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resourceClaims } from "../../client/resources.ts";
import type { ResourceClaim } from "../../gen/resource-v1.ts";
import { createRuntime } from "../../runtime/real.ts";
import type { Pod } from "../kubelet/types.ts";
import { MemoryApi } from "../testing/memory-api.ts";
import type { ClaimName, DraClient } from "./dra-client.ts";
import { PodClaims } from "./pod-claims.ts";

const runtime = createRuntime({ logLevel: "error" });
const driver = "gpu.example.com";

/** A driver that notes what it is asked for. */
class FakeDriver {
  readonly calls: string[] = [];
  fails = "";
  isThere = true;

  client(name: string): DraClient {
    if (!this.isThere) throw new Error(`DRA driver ${name} is not registered`);
    const answer = <T>(call: string, claims: readonly ClaimName[], one: (uid: string) => T) => {
      this.calls.push(`${call} ${claims.map((claim) => claim.name).join()}`);
      return Object.fromEntries(claims.map(({ uid }) => [uid, { error: this.fails, ...one(uid) }]));
    };
    const client = {
      prepare: async (claims: readonly ClaimName[]) =>
        answer("prepare", claims, (uid) => ({
          devices: ["a", "b"].map((request) => ({
            poolName: "p",
            deviceName: `d-${request}`,
            requestNames: [request],
            cdiDeviceIds: [`example.com/gpu=${uid}-${request}`],
          })),
        })),
      unprepare: async (claims: readonly ClaimName[]) => answer("unprepare", claims, () => ({})),
    };
    return client as unknown as DraClient;
  }
}

let api: MemoryApi;
let drivers: FakeDriver;
let rootDir: string;
let claims: PodClaims;
const open = (): PodClaims => new PodClaims({ runtime, client: api, rootDir, drivers });

beforeEach(() => {
  api = new MemoryApi();
  drivers = new FakeDriver();
  rootDir = mkdtempSync(join(tmpdir(), "k3-claims-"));
  claims = open();
});
afterEach(() => {
  rmSync(rootDir, { recursive: true });
});

function pod(uid: string, request?: string): Pod {
  const use = { name: "gpu", ...(request === undefined ? {} : { request }) };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${uid}`, namespace: "default", uid },
    spec: {
      resourceClaims: [{ name: "gpu", resourceClaimName: "c" }],
      containers: [{ name: "main", image: "i", resources: { claims: [use] } }],
    },
  };
}

async function addClaim(uid: string, ...users: string[]): Promise<void> {
  const results = [{ request: "a", driver, pool: "p", device: "d-a" }];
  await api.create(resourceClaims, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name: "c", namespace: "default", uid },
    spec: {},
    status: {
      allocation: { devices: { results } },
      reservedFor: users.map((user) => ({ resource: "pods", name: `pod-${user}`, uid: user })),
    },
  } satisfies ResourceClaim);
}

const containerOf = (one: Pod) =>
  one.spec.containers[0] as NonNullable<Pod["spec"]["containers"][0]>;
const devices = (one: Pod) => claims.cdiDevicesFor(one, containerOf(one));

test("a claim is prepared once for all who use it, and given back by the last", async () => {
  await addClaim("u", "1", "2");
  await Promise.all([claims.prepare(pod("1")), claims.prepare(pod("2"))]);
  expect(devices(pod("1"))).toEqual(["example.com/gpu=u-a", "example.com/gpu=u-b"]);
  expect(devices(pod("2", "b"))).toEqual(["example.com/gpu=u-b"]);
  await claims.unprepare("1");
  expect(drivers.calls).toEqual(["prepare c"]);
  await claims.unprepare("2");
  await claims.unprepare("2");
  expect(drivers.calls).toEqual(["prepare c", "unprepare c"]);
  expect(devices(pod("2"))).toEqual([]);
});

test("what is prepared outlives the kubelet, in upstream's form", async () => {
  await addClaim("u", "1");
  await claims.prepare(pod("1"));
  const { Data } = JSON.parse(readFileSync(`${rootDir}/dra_manager_state`, "utf8"));
  expect(JSON.parse(Data)).toMatchObject({
    kind: "DRACheckpoint",
    apiVersion: "checkpoint.dra.kubelet.k8s.io/v1",
    ClaimInfoStateList: [
      {
        ClaimUID: "u",
        ClaimName: "c",
        Namespace: "default",
        PodUIDs: { "1": {} },
        DriverState: {
          [driver]: { Devices: [{ PoolName: "p", DeviceName: "d-a", RequestNames: ["a"] }, {}] },
        },
      },
    ],
  });
  claims = open();
  await claims.store.load();
  expect(devices(pod("1", "a"))).toEqual(["example.com/gpu=u-a"]);
  await claims.retain(new Set());
  expect(drivers.calls.at(-1)).toBe("unprepare c");
});

test("why a claim cannot be prepared is told, and nothing is noted before it can", async () => {
  const why = async (one: Pod): Promise<string> => {
    try {
      await claims.prepare(one);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  expect(await why(pod("1"))).toStartWith("prepare dynamic resources: fetch ResourceClaim c: ");
  await addClaim("u", "1");
  expect(await why(pod("2"))).toBe(
    "prepare dynamic resources: pod pod-2 (2) is not allowed to use ResourceClaim c (u)",
  );
  drivers.isThere = false;
  expect(await why(pod("1"))).toBe(
    `prepare dynamic resources: DRA driver ${driver} is not registered`,
  );
  expect(claims.store.list()).toEqual([]);
  drivers.isThere = true;
  drivers.fails = "it burns";
  expect(await why(pod("1"))).toBe(
    "prepare dynamic resources: NodePrepareResources failed for ResourceClaim c: it burns",
  );
  // The driver may have begun: it is told to undo that.
  drivers.fails = "";
  await claims.unprepare("1");
  expect(drivers.calls).toEqual(["prepare c", "unprepare c"]);
});

test("a claim that was made anew waits for the old one to be given back", async () => {
  await addClaim("old", "1");
  await claims.prepare(pod("1"));
  await api.delete(resourceClaims, "default", "c");
  await addClaim("new", "2");
  await expect(claims.prepare(pod("2"))).rejects.toThrow(
    "old ResourceClaim with same name c and different UID old still exists",
  );
});
