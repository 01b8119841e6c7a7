/** The rules of one device of a slice. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  Counter,
  Device,
  DeviceAttribute,
  DeviceCounterConsumption,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { validateNodeSelector } from "../core/affinity-validation.ts";
import { invalid, required, tooLong } from "../field-errors.ts";
import { validateBindingConditions } from "./binding-conditions.ts";
import { validateCapacity } from "./capacity.ts";
import { validateTaint } from "./configuration.ts";
import { validateList, validateMap, validateSet } from "./lists.ts";
import { validateLabel, validateNodeName, validateQualifiedName } from "./names.ts";

const limits = {
  attributesMax: 32,
  attributeValuesMax: 48,
  attributeBytesMax: 64,
  qualifiedNameBytesMax: 63 + 1 + 32,
  countersMax: 32,
  counterNameBytesMax: 63,
  consumptionsMax: 2,
  taintsMax: 16,
} as const;

type ReadDevice = DeepReadonly<Device>;

const number = "(0|[1-9]\\d*)";
const preRelease = "(0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)";
const build = "[0-9a-zA-Z-]+";
const isVersion = new RegExp(
  `^${number}\\.${number}\\.${number}(-${preRelease}(\\.${preRelease})*)?` +
    `(\\+${build}(\\.${build})*)?$`,
);

function validateSize(value: string, field: string): FieldError[] {
  const max = limits.attributeBytesMax;
  return Buffer.byteLength(value) > max ? [tooLong(field, max)] : [];
}

/** Upstream shows the fields of its internal form. */
function shownAttribute(attribute: DeepReadonly<DeviceAttribute>): object {
  const { int, bool, string, version, ints, bools, strings, versions } = attribute;
  return {
    IntValue: int ?? null,
    BoolValue: bool ?? null,
    StringValue: string ?? null,
    VersionValue: version ?? null,
    IntValues: ints ?? null,
    BoolValues: bools ?? null,
    StringValues: strings ?? null,
    VersionValues: versions ?? null,
  };
}

function validateAttribute(attribute: DeepReadonly<DeviceAttribute>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { string, version } = attribute;
  if (string !== undefined) errors.push(...validateSize(string, `${at}.string`));
  if (version !== undefined) {
    const rule = "must be a string compatible with semver.org spec 2.0.0";
    if (!isVersion.test(version)) errors.push(invalid(`${at}.version`, version, rule));
    errors.push(...validateSize(version, `${at}.version`));
  }
  const set = (["bool", "int", "string", "version"] as const).filter(
    (key) => attribute[key] !== undefined,
  );
  if (set.length === 1) return errors;
  const shown = set.length === 0 ? "" : shownAttribute(attribute);
  errors.push(invalid(at, shown, "exactly one value must be specified"));
  return errors;
}

/** The errors of counters that are offered or taken. */
export function validateCounters(
  counters: DeepReadonly<Record<string, Counter>> | undefined,
  at: string,
): FieldError[] {
  if (Object.keys(counters ?? {}).length === 0) return [required(at)];
  const { countersMax: max, counterNameBytesMax: shownKeyMax } = limits;
  return validateMap(counters, { max, shownKeyMax }, at, validateLabel);
}

function validateConsumption(
  { counterSet, counters }: DeepReadonly<DeviceCounterConsumption>,
  at: string,
): FieldError[] {
  const field = `${at}.counterSet`;
  const name = counterSet ? validateLabel(counterSet, field) : [required(field)];
  return [...name, ...validateCounters(counters, `${at}.counters`)];
}

const placements = ["nodeName", "nodeSelector", "allNodes"] as const;
const placementRule =
  "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when " +
  "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";

function validatePlacement(device: ReadDevice, at: string, isPlacedAlone: boolean): FieldError[] {
  const { nodeName, nodeSelector, allNodes } = device;
  const given = placements.some((key) => device[key] !== undefined);
  if (!isPlacedAlone) {
    const rule =
      "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is " +
      "set to true in the ResourceSlice spec";
    return given ? [invalid(at, null, rule)] : [];
  }
  const errors: FieldError[] = [];
  if (nodeName === "") errors.push(invalid(`${at}.nodeName`, nodeName, "must not be empty"));
  else if (nodeName !== undefined) errors.push(...validateNodeName(nodeName, `${at}.nodeName`));
  if (nodeSelector !== undefined)
    errors.push(...validateNodeSelector(nodeSelector, `${at}.nodeSelector`));
  if (allNodes === false)
    errors.push(invalid(`${at}.allNodes`, false, "must be either unset or set to true"));
  const set = placements.filter((key) => device[key]);
  if (set.length === 0) errors.push(required(at, placementRule));
  if (set.length > 1) {
    const named = `{${set.map((key) => `\`${key}\``).join(", ")}}`;
    errors.push(invalid(at, named, placementRule));
  }
  return errors;
}

function validateAmounts(
  { attributes, capacity, allowMultipleAllocations }: ReadDevice,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const values = Object.keys(attributes ?? {}).length;
  const total = values + Object.keys(capacity ?? {}).length;
  const tooMuch = (count: number, what: string, max: number): void => {
    const rule = `the total number of ${what} must not exceed ${max}`;
    if (count > max) errors.push(invalid(at, count, rule));
  };
  tooMuch(total, "attributes and capacities", limits.attributesMax);
  tooMuch(values, "attribute values", limits.attributeValuesMax);
  const size = { shownKeyMax: limits.qualifiedNameBytesMax };
  return [
    ...errors,
    ...validateMap(attributes, size, `${at}.attributes`, validateQualifiedName, validateAttribute),
    ...validateMap(capacity, size, `${at}.capacity`, validateQualifiedName, (one, field) =>
      validateCapacity(one, field, allowMultipleAllocations === true),
    ),
  ];
}

/** The errors of a device; taints that were there before are judged no more. */
export function validateDevice(
  device: ReadDevice,
  at: string,
  { old, isPlacedAlone }: { readonly old: ReadDevice | undefined; readonly isPlacedAlone: boolean },
): FieldError[] {
  const areTaintsOld = old !== undefined && semanticEqual(old.taints, device.taints);
  return [
    ...validateLabel(device.name, `${at}.name`),
    ...validateAmounts(device, at),
    ...(areTaintsOld
      ? []
      : validateList(device.taints, limits.taintsMax, `${at}.taints`, validateTaint)),
    ...validateSet(device.consumesCounters, limits.consumptionsMax, `${at}.consumesCounters`, {
      key: (one) => one.counterSet,
      validate: validateConsumption,
    }),
    ...validatePlacement(device, at, isPlacedAlone),
    ...validateBindingConditions(device, at),
  ];
}
