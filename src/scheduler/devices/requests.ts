/** What claims ask for, request by request, and which devices one of them could have. */
import type { DeviceRequest, DeviceSubRequest, ExactDeviceRequest } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { compileSelector, deviceBindings, selects } from "../../schema/cel/device/selector.ts";
import { CelError, CelFailure } from "../../schema/cel/environment.ts";
import { toleratesDeviceTaint } from "../../schema/device-taints.ts";
import type { LiveNode } from "../node-info.ts";
import type { RequestName } from "./constraints.ts";
import { isForNode, type Pool } from "./pools.ts";
import type { DeviceClaim, DeviceView, LiveDevice, LiveDeviceClass, LiveSlice } from "./view.ts";

/** Something is wrong with the claim or its class: no node will do, and it is tried again. */
export class AllocationError extends Error {
  override readonly name = "AllocationError";
}

type Asked = DeepReadonly<Omit<ExactDeviceRequest, "adminAccess"> & DeviceSubRequest>;

/** One request, or one alternative of it. */
export interface Wanted {
  readonly name: RequestName;
  readonly claim: DeviceClaim;
  readonly deviceClass: LiveDeviceClass;
  readonly isAdmin: boolean;
  readonly takesAll: boolean;
  readonly count: number;
  readonly selectors: Asked["selectors"];
  readonly tolerations: NonNullable<Asked["tolerations"]>;
  readonly capacity: Asked["capacity"];
}

/** A device at its place. */
export interface Candidate {
  readonly key: string;
  readonly device: LiveDevice;
  readonly slice: LiveSlice;
  readonly pool: Pool;
}

export function claimText({ metadata }: DeviceClaim): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function wantedOf(
  claim: DeviceClaim,
  name: RequestName,
  asked: Omit<Asked, "name"> & { readonly adminAccess?: boolean },
  view: DeviceView,
): Wanted {
  const deviceClass = view.deviceClass(asked.deviceClassName);
  const own = name.alternative ?? name.request;
  if (deviceClass === undefined) {
    const missing = `deviceclass.resource.k8s.io "${asked.deviceClassName}" not found`;
    const what = `could not retrieve device class ${asked.deviceClassName}: ${missing}`;
    throw new AllocationError(`claim ${claimText(claim)}, request ${own}: ${what}`);
  }
  const { allocationMode, count = 0, selectors, tolerations = [], capacity } = asked;
  const isAdmin = asked.adminAccess === true;
  const takesAll = allocationMode === "All";
  return {
    name,
    claim,
    deviceClass,
    isAdmin,
    takesAll,
    count,
    selectors,
    tolerations,
    capacity,
  };
}

/** The alternatives of each request of a claim; most have one. */
export function wantedBy(claim: DeviceClaim, view: DeviceView): readonly (readonly Wanted[])[] {
  return (claim.spec?.devices?.requests ?? []).map((request) => alternatives(claim, request, view));
}

function alternatives(
  claim: DeviceClaim,
  { name: request, exactly, firstAvailable = [] }: DeepReadonly<DeviceRequest>,
  view: DeviceView,
): readonly Wanted[] {
  if (exactly !== undefined)
    return [wantedOf(claim, { request, alternative: undefined }, exactly, view)];
  return firstAvailable.map((one) =>
    wantedOf(claim, { request, alternative: one.name }, one, view),
  );
}

/** Devices are looked at again and again, and never change. */
const known = new WeakMap<LiveDevice, Map<string, boolean>>();

function isSelected(expression: string, { device, slice }: Candidate): boolean {
  const answers = known.get(device) ?? new Map<string, boolean>();
  known.set(device, answers);
  let answer = answers.get(expression);
  if (answer === undefined) {
    const { driver } = slice.spec;
    answer = selects(compileSelector(expression), deviceBindings(device, driver));
    answers.set(expression, answer);
  }
  return answer;
}

function matchesAll(selectors: Asked["selectors"], candidate: Candidate, owner: string): boolean {
  return (selectors ?? []).every(({ cel }, index) => {
    try {
      return isSelected(cel?.expression ?? "", candidate);
    } catch (error) {
      const isCompiling = error instanceof CelError;
      if (!isCompiling && !(error instanceof CelFailure)) throw error;
      const kind = isCompiling ? "compile" : "runtime";
      const what = `selector #${index}: CEL ${kind} error: ${error.message}`;
      throw new AllocationError(`${owner}: ${what}`);
    }
  });
}

/** Whether the device is of the kind that is wanted, free or not. */
export function isSuitable(wanted: Wanted, candidate: Candidate, node: LiveNode): boolean {
  const { claim, deviceClass, selectors } = wanted;
  const { device, slice } = candidate;
  if (slice.spec.perDeviceNodeSelection === true && !isForNode(device, node)) return false;
  const ofClass = `class ${deviceClass.metadata.name}`;
  if (!matchesAll(deviceClass.spec.selectors, candidate, ofClass)) return false;
  return matchesAll(selectors, candidate, `claim ${claimText(claim)}`);
}

/** Whether none of the device's taints keeps it from being used. */
export function isTolerated({ tolerations }: Wanted, { taints = [] }: LiveDevice): boolean {
  return taints
    .filter(({ effect }) => effect === "NoSchedule" || effect === "NoExecute")
    .every((taint) => tolerations.some((one) => toleratesDeviceTaint(one, taint)));
}
