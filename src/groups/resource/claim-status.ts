/** The rules of a claim's status: what is allocated, to whom, and what drivers tell of devices. */
import ipaddr from "ipaddr.js";
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  AllocatedDeviceStatus,
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceRequestAllocationResult,
  NetworkDeviceData,
  ResourceClaim,
  ResourceClaimConsumerReference,
  ResourceClaimStatus,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { validateConditions } from "../condition-validation.ts";
import { validateNodeSelector } from "../core/affinity-validation.ts";
import { validateDriverName } from "../core/volume-source.ts";
import { forbidden, invalid, oneOf, required, tooLong, tooMany } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { validateBindingConditions } from "./binding-conditions.ts";
import { claimLimits, validateReferences } from "./claim.ts";
import { validateConfiguration, validateRawObject } from "./configuration.ts";
import { validateList, validateSet } from "./lists.ts";
import {
  type RequestNames,
  requestNamesOf,
  validateLabel,
  validatePoolName,
  validateRequestReference,
  validateShareId,
} from "./names.ts";

const limits = {
  consumersMax: 256,
  resultsMax: 32,
  conditionsMax: 8,
  dataBytesMax: 10 * 1024,
  addressesMax: 16,
  interfaceNameBytesMax: 256,
  hardwareAddressBytesMax: 128,
} as const;

type DeviceName = Pick<AllocatedDeviceStatus, "driver" | "pool" | "device" | "shareID">;

/** One text for one device, or for one share of it. */
function deviceKey({ driver, pool, device, shareID = "" }: DeepReadonly<DeviceName>): string {
  return [driver, pool, device, shareID].join("/");
}
/** Upstream shows no more of a device's identity. */
const shownDevice = { Driver: {}, Pool: {}, Device: {}, ShareID: {} };

function validateConsumer(
  reference: DeepReadonly<ResourceClaimConsumerReference>,
  field: string,
): FieldError[] {
  return (["resource", "name", "uid"] as const)
    .filter((key) => !reference[key])
    .map((key) => required(`${field}.${key}`));
}

function validateAddress(address: string, field: string): FieldError[] {
  const example = "(e.g. 10.9.8.7/24 or 2001:db8::1/64)";
  if (!ipaddr.isValidCIDR(address))
    return [invalid(field, address, `must be a valid address in CIDR form, ${example}`)];
  const [ip, size] = ipaddr.parseCIDR(address);
  const mapped = ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress();
  const shown = mapped ? ip.toIPv4Address().toString() : toCanonical(ip);
  const canonical = `${shown}/${mapped ? size - 96 : size}`;
  if (address === canonical) return [];
  return [invalid(field, address, `must be in canonical form ("${canonical}")`)];
}

function toCanonical(ip: ipaddr.IPv4 | ipaddr.IPv6): string {
  return ip instanceof ipaddr.IPv6 ? ip.toRFC5952String() : ip.toString();
}

function validateNetwork(
  data: DeepReadonly<NetworkDeviceData> | undefined,
  at: string,
): FieldError[] {
  const { interfaceName = "", hardwareAddress = "", ips } = data ?? {};
  const errors: FieldError[] = [];
  if (Buffer.byteLength(interfaceName) > limits.interfaceNameBytesMax)
    errors.push(tooLong(`${at}.interfaceName`, limits.interfaceNameBytesMax));
  if (Buffer.byteLength(hardwareAddress) > limits.hardwareAddressBytesMax)
    errors.push(tooLong(`${at}.hardwareAddress`, limits.hardwareAddressBytesMax));
  const rules = { key: (ip: string) => ip, validate: validateAddress };
  return [...errors, ...validateSet(ips, limits.addressesMax, `${at}.ips`, rules)];
}

function validateDeviceName(device: DeepReadonly<DeviceName>, at: string): FieldError[] {
  return [
    ...validateDriverName(device.driver, `${at}.driver`),
    ...validatePoolName(device.pool, `${at}.pool`),
    ...validateLabel(device.device, `${at}.device`),
  ];
}

function validateDevice(
  device: DeepReadonly<AllocatedDeviceStatus>,
  at: string,
  allocated: ReadonlySet<string>,
): FieldError[] {
  const { data, networkData, shareID } = device;
  // A list that nobody gave is null here.
  const conditions = device.conditions ?? [];
  const errors = [...validateDeviceName(device, at), ...validateShareId(shareID, `${at}.shareID`)];
  if (!allocated.has(deviceKey(device)))
    errors.push(invalid(at, shownDevice, "must be an allocated device in the claim"));
  if (conditions.length > limits.conditionsMax)
    errors.push(tooMany(`${at}.conditions`, conditions.length, limits.conditionsMax));
  errors.push(...validateConditions(conditions, `${at}.conditions`));
  if (data !== undefined && data !== null)
    errors.push(...validateRawObject(data, `${at}.data`, limits.dataBytesMax));
  return [...errors, ...validateNetwork(networkData, `${at}.networkData`)];
}

function validateResult(
  result: DeepReadonly<DeviceRequestAllocationResult>,
  at: string,
  names: RequestNames,
): FieldError[] {
  return [
    ...validateRequestReference(result.request ?? "", `${at}.request`, names),
    ...validateDeviceName(result, at),
    ...validateBindingConditions(result, at),
    ...validateShareId(result.shareID, `${at}.shareID`),
  ];
}

function validateAllocationConfig(
  config: DeepReadonly<DeviceAllocationConfiguration>,
  at: string,
  names: RequestNames,
): FieldError[] {
  return [
    ...oneOf(`${at}.source`, config.source, ["FromClaim", "FromClass"]),
    ...validateReferences(config.requests, `${at}.requests`, names),
    ...validateConfiguration(config, at),
  ];
}

/** A new allocation; one that is there already is judged no more. */
function validateAllocation(
  { devices, nodeSelector }: DeepReadonly<AllocationResult>,
  at: string,
  names: RequestNames,
): FieldError[] {
  const results = `${at}.devices.results`;
  const config = `${at}.devices.config`;
  return [
    ...validateList(devices?.results, limits.resultsMax, results, (one, field) =>
      validateResult(one, field, names),
    ),
    ...validateList(devices?.config, 2 * claimLimits.configMax, config, (one, field) =>
      validateAllocationConfig(one, field, names),
    ),
    ...(nodeSelector === undefined ? [] : validateNodeSelector(nodeSelector, `${at}.nodeSelector`)),
  ];
}

function validateReservation(
  now: DeepReadonly<ResourceClaimStatus>,
  before: DeepReadonly<ResourceClaimStatus>,
  isDeleted: boolean,
): FieldError[] {
  const at = "status.reservedFor";
  const consumers = now.reservedFor ?? [];
  if (consumers.length === 0) return [];
  if (now.allocation === undefined)
    return [forbidden(at, "may not be specified when `allocated` is not set")];
  const known = before.reservedFor ?? [];
  const isNew = consumers.some((one) => !known.some((other) => semanticEqual(one, other)));
  if (!isDeleted || !isNew) return [];
  const when = "while `deallocationRequested` or `deletionTimestamp` are set";
  return [forbidden(at, `new entries may not be added ${when}`)];
}

/** The errors of a claim's new status. */
export function validateClaimStatus(
  claim: DeepReadonly<ResourceClaim>,
  old: DeepReadonly<ResourceClaim> | undefined,
): FieldError[] {
  const status = claim.status ?? {};
  const before = old?.status ?? {};
  const allocated = new Set((status.allocation?.devices?.results ?? []).map(deviceKey));
  const at = "status.allocation";
  const errors = [
    ...validateSet(status.reservedFor, limits.consumersMax, "status.reservedFor", {
      key: (one) => one.uid,
      validate: validateConsumer,
    }),
    ...validateSet(status.devices, Number.POSITIVE_INFINITY, "status.devices", {
      key: deviceKey,
      validate: (device, field) => validateDevice(device, field, allocated),
      shown: shownDevice,
    }),
    ...validateReservation(status, before, claim.metadata.deletionTimestamp !== undefined),
  ];
  if (status.allocation === undefined) return errors;
  const judged =
    before.allocation === undefined
      ? validateAllocation(status.allocation, at, requestNamesOf(claim.spec?.devices))
      : validateImmutable(status.allocation, before.allocation, at);
  return [...errors, ...judged];
}

/** What drivers told of devices goes with their allocation. */
export function dropDeallocatedDevices(
  claim: ResourceClaim,
  old: DeepReadonly<ResourceClaim>,
): void {
  const { status } = claim;
  if (status?.devices === undefined) return;
  const lost = new Set((old.status?.allocation?.devices?.results ?? []).map(deviceKey));
  for (const result of status.allocation?.devices?.results ?? []) lost.delete(deviceKey(result));
  status.devices = status.devices.filter((device) => !lost.has(deviceKey(device)));
  if (status.devices.length === 0) delete status.devices;
}
