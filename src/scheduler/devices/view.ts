/** What decisions read of devices: claims, slices, classes, and what is promised already. */
import type { Device, DeviceClass, ResourceClaim, ResourceSlice } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { implicitDevicePrefix, mayBeDeviceResource } from "../../lib/names.ts";

export type DeviceClaim = DeepReadonly<ResourceClaim>;
export type LiveSlice = DeepReadonly<ResourceSlice>;
export type LiveDevice = DeepReadonly<Device>;
export type LiveDeviceClass = DeepReadonly<DeviceClass>;
export type Allocation = NonNullable<NonNullable<DeviceClaim["status"]>["allocation"]>;

export interface DeviceView {
  readonly claim: (namespace: string, name: string) => DeviceClaim | undefined;
  readonly claims: () => Iterable<DeviceClaim>;
  readonly slices: () => readonly LiveSlice[];
  readonly deviceClass: (name: string) => LiveDeviceClass | undefined;
  readonly classes: () => Iterable<LiveDeviceClass>;
  /** Allocations of claims, by uid, that are decided but not seen yet. */
  readonly pending: ReadonlyMap<string, Allocation>;
  readonly now: () => Date;
}

/** The class whose devices stand behind a resource; of several the newest. */
export function classOfResource(resource: string, view: DeviceView): LiveDeviceClass | undefined {
  if (!mayBeDeviceResource(resource)) return undefined;
  if (resource.startsWith(implicitDevicePrefix))
    return view.deviceClass(resource.slice(implicitDevicePrefix.length));
  let best: LiveDeviceClass | undefined;
  for (const one of view.classes())
    if (one.spec.extendedResourceName === resource && isPreferred(one, best)) best = one;
  return best;
}

function isPreferred(one: LiveDeviceClass, other: LiveDeviceClass | undefined): boolean {
  if (other === undefined) return true;
  const [a = "", b = ""] = [one, other].map(({ metadata }) => metadata.creationTimestamp);
  return a === b ? (one.metadata.name ?? "") < (other.metadata.name ?? "") : a > b;
}

/** A cluster without devices: for benches and tests. */
export const noDevices: DeviceView = {
  claim: () => undefined,
  claims: () => [],
  slices: () => [],
  deviceClass: () => undefined,
  classes: () => [],
  pending: new Map(),
  now: () => new Date(0),
};
