import { expect, test } from "bun:test";
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import { type ExpansionPlan, planExpansion } from "./csi-expander.ts";
import { claimedVolume } from "./csi-volume.ts";

const expand = { do: "expand", isTold: true, isClaimDone: false } as const;

interface Case {
  readonly what: string;
  readonly has: string;
  readonly volume: string;
  readonly known?: string;
  readonly step?: string;
  readonly allocated?: string;
  readonly shared?: boolean;
  readonly plan: ExpansionPlan;
}

const cases: readonly Case[] = [
  { what: "nothing has grown", has: "1Gi", volume: "1Gi", plan: { do: "nothing" } },
  {
    what: "an old resizer tells nothing",
    has: "1Gi",
    volume: "2Gi",
    plan: { do: "expand", size: "2Gi", isTold: false, isClaimDone: false },
  },
  {
    what: "the resizer leaves it to the node",
    has: "1Gi",
    volume: "3Gi",
    allocated: "2Gi",
    step: "NodeResizePending",
    plan: { ...expand, size: "2Gi" },
  },
  {
    what: "the node was at it when it was killed",
    has: "1Gi",
    volume: "2Gi",
    known: "1Gi",
    allocated: "2Gi",
    step: "NodeResizeInProgress",
    plan: { ...expand, size: "2Gi" },
  },
  {
    what: "the driver's controller is at it still",
    has: "1Gi",
    volume: "2Gi",
    allocated: "2Gi",
    step: "ControllerResizeInProgress",
    plan: { do: "nothing" },
  },
  {
    what: "another node has done it for a volume that is not shared",
    has: "2Gi",
    volume: "2Gi",
    known: "1Gi",
    allocated: "2Gi",
    plan: { do: "note" },
  },
  {
    what: "another node has done it for a shared volume",
    has: "2Gi",
    volume: "2Gi",
    known: "1Gi",
    allocated: "2Gi",
    shared: true,
    plan: { ...expand, size: "2Gi", isClaimDone: true },
  },
  {
    what: "it cannot be done",
    has: "1Gi",
    volume: "2Gi",
    allocated: "2Gi",
    step: "NodeResizeInfeasible",
    plan: { do: "nothing" },
  },
];

for (const { what, has, volume: size, known, step, allocated, shared, plan } of cases) {
  test(`${what}: ${plan.do}`, () => {
    const persistent = {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "pv" },
      spec: { capacity: { storage: size }, csi: { driver: "d", volumeHandle: "h" } },
    };
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "c" },
      spec: { accessModes: [shared === true ? "ReadWriteMany" : "ReadWriteOnce"] },
      status: {
        capacity: { storage: has },
        ...(allocated === undefined ? {} : { allocatedResources: { storage: allocated } }),
        ...(step === undefined ? {} : { allocatedResourceStatuses: { storage: step } }),
      },
    };
    const volume = claimedVolume({ name: "data" }, persistent);
    if (volume === undefined) throw new Error("It is a CSI volume.");
    expect(planExpansion({ volume, claim, persistent, knownSize: known })).toEqual(plan);
  });
}
