/** Expressions that choose devices (resource.k8s.io): what they see of one, and what they cost. */
import type { Device } from "../../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { any, bool, type CelType, mapOf, string, struct } from "../check/types.ts";
import type { SizeAt } from "../cost/estimate.ts";
import { CelEnvironment, CelError, CelFailure, type CelProgram } from "../environment.ts";
import { CelQuantity, quantityType } from "../library/quantities.ts";
import { CelVersion } from "../library/versions.ts";
import { CelMap } from "../run/map.ts";

/** What upstream allows of names and values; the estimate of costs goes by them. */
const limits = {
  domainBytesMax: 63,
  idBytesMax: 32,
  driverBytesMax: 63,
  attributeBytesMax: 64,
  entriesMax: 32,
  expressionCostMax: 1_000_000,
} as const;

const fields: ReadonlyMap<string, { readonly type: CelType }> = new Map([
  ["driver", { type: string }],
  ["attributes", { type: mapOf(string, mapOf(string, any)) }],
  ["capacity", { type: mapOf(string, mapOf(string, quantityType)) }],
  ["allowMultipleAllocations", { type: bool }],
]);

const type = struct("kubernetes.DRADevice", fields);
const environment = new CelEnvironment({ device: type }, { hasBindings: true });

/** How large a part of a device may be. */
interface Sized {
  readonly max: number;
  readonly key?: Sized;
  readonly value?: Sized;
  /** Every field of an attribute's domain is as large as any other. */
  readonly anyField?: Sized;
  readonly fields?: Readonly<Record<string, Sized>>;
}
const attribute: Sized = { max: limits.attributeBytesMax };
const id: Sized = { max: limits.idBytesMax };
const domain: Sized = { max: limits.domainBytesMax };
const attributes = { max: limits.entriesMax, key: id, value: attribute, anyField: attribute };
const capacities = { max: limits.entriesMax, key: id, value: { max: 0 } };
const device: Sized = {
  max: 0,
  fields: {
    driver: { max: limits.driverBytesMax },
    attributes: { max: limits.entriesMax, key: domain, value: attributes },
    capacity: { max: limits.entriesMax, key: domain, value: capacities },
    allowMultipleAllocations: { max: 1 },
  },
};

function part(of: Sized | undefined, step: string): Sized | undefined {
  if (step === "@items" || step === "@values") return of?.value;
  if (step === "@keys") return of?.key;
  return of?.fields?.[step] ?? of?.anyField;
}

const sizeAt: SizeAt = ([root, ...path]) => {
  const start = root === "device" ? device : undefined;
  return path.reduce<Sized | undefined>(part, start)?.max;
};

/** What is wrong with a selector's expression, in upstream's words. */
export type SelectorProblem =
  | { readonly type: "invalid"; readonly detail: string }
  | { readonly type: "too-complex" };

/** What is wrong with an expression; undefined when it can choose devices. */
export function selectorProblem(expression: string): SelectorProblem | undefined {
  try {
    const program = compileSelector(expression);
    if (program.estimate(sizeAt) <= limits.expressionCostMax) return undefined;
    return { type: "too-complex" };
  } catch (error) {
    if (error instanceof CelError) return { type: "invalid", detail: error.message };
    throw error;
  }
}

/** @throws CelError with the text that upstream's validation has. */
export function compileSelector(expression: string): CelProgram {
  const program = compiled(expression);
  if (program.type === "bool" || program.type === "any") return program;
  throw new CelError(`must evaluate to bool or the unknown type, not ${program.type}`);
}

function compiled(expression: string): CelProgram {
  try {
    return environment.compile(expression);
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    const isLate = error.stage === "instantiation";
    const prefix = isLate ? "program instantiation failed: " : "compilation failed: ";
    throw new CelError(`${prefix}${error.message}`, error.stage);
  }
}

/** A map of domains, where those that are not there are empty. */
class DomainMap extends CelMap {
  override get(key: unknown): unknown {
    return super.get(key) ?? {};
  }
}

/** The parts of a name; one without a domain is in that of the driver. */
export function splitQualifiedName(name: string, driver: string): readonly [string, string] {
  const slash = name.indexOf("/");
  return slash < 0 ? [driver, name] : [name.slice(0, slash), name.slice(slash + 1)];
}

function byDomain<T>(
  of: Readonly<Record<string, T>> | undefined,
  driver: string,
  read: (one: T, name: string) => unknown,
): CelMap {
  const domains = new Map<string, Map<string, unknown>>();
  for (const [name, one] of Object.entries(of ?? {})) {
    const [domain, id] = splitQualifiedName(name, driver);
    const known = domains.get(domain) ?? new Map<string, unknown>();
    known.set(id, read(one, name));
    domains.set(domain, known);
  }
  const map = new DomainMap();
  for (const [domain, ids] of domains) {
    const inner = new CelMap();
    for (const [id, value] of ids) inner.set(id, value);
    map.set(domain, inner);
  }
  return map;
}

export type SelectableDevice = Pick<
  DeepReadonly<Device>,
  "attributes" | "capacity" | "allowMultipleAllocations"
>;

type Attribute = NonNullable<SelectableDevice["attributes"]>[string];

function attributeValue(attribute: Attribute, name: string): unknown {
  if (attribute.int !== undefined) return BigInt(attribute.int);
  if (attribute.bool !== undefined) return attribute.bool;
  if (attribute.string !== undefined) return attribute.string;
  const version = attribute.version === undefined ? undefined : CelVersion.parse(attribute.version);
  if (version !== undefined) return version;
  const isGiven = attribute.version !== undefined;
  const why = isGiven ? "parse semantic version" : "unsupported attribute value";
  throw new CelFailure(`attribute ${name}: ${why}`, 0, false);
}

/** The variables of a selector: a device of a driver. */
export function deviceBindings(
  device: SelectableDevice,
  driver: string,
): Readonly<Record<string, unknown>> {
  return {
    device: {
      driver,
      allowMultipleAllocations: device.allowMultipleAllocations ?? false,
      attributes: byDomain(device.attributes, driver, attributeValue),
      capacity: byDomain(device.capacity, driver, ({ value }) => new CelQuantity(value)),
    },
  };
}

/** Whether the device is chosen. @throws CelFailure for what fails while it is looked at. */
export function selects(program: CelProgram, bindings: Readonly<Record<string, unknown>>): boolean {
  const { value, cost } = program.run(bindings);
  if (typeof value === "boolean") return value;
  throw new CelFailure("CEL result could not be converted to bool", cost, false);
}
