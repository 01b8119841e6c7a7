/** Constraints of a claim: devices that must share an attribute, or must not. */
import type { DeviceAttribute, DeviceConstraint } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveDevice } from "./view.ts";

/** A request, or one of its alternatives: `gpu`, `gpu/large`. */
export interface RequestName {
  readonly request: string;
  readonly alternative: string | undefined;
}

export function fullName({ request, alternative }: RequestName): string {
  return alternative === undefined ? request : `${request}/${alternative}`;
}

type Attribute = DeepReadonly<DeviceAttribute>;

/** The name of a driver's own attribute may leave out the domain. */
function attributeOf(device: LiveDevice, driver: string, name: string): Attribute | undefined {
  const own = device.attributes?.[name];
  if (own !== undefined) return own;
  const slash = name.indexOf("/");
  return name.slice(0, slash) === driver ? device.attributes?.[name.slice(slash + 1)] : undefined;
}

/** Equal values of equal type have equal texts; undefined for a type that is not known. */
function valueText({ string, int, bool, version }: Attribute): string | undefined {
  if (string !== undefined) return `string ${string}`;
  if (int !== undefined) return `int ${int}`;
  if (bool !== undefined) return `bool ${bool}`;
  return version === undefined ? undefined : `version ${version}`;
}

/** Follows the devices that are chosen; the last that was added is removed first. */
export class Constraint {
  readonly #requests: ReadonlySet<string>;
  readonly #attribute: string;
  readonly #isDistinct: boolean;
  readonly #values: string[] = [];

  constructor({
    requests = [],
    matchAttribute,
    distinctAttribute,
  }: DeepReadonly<DeviceConstraint>) {
    this.#requests = new Set(requests);
    this.#attribute = matchAttribute ?? distinctAttribute ?? "";
    this.#isDistinct = matchAttribute === undefined;
  }

  #concerns(name: RequestName): boolean {
    if (this.#requests.size === 0) return true;
    return this.#requests.has(name.request) || this.#requests.has(fullName(name));
  }

  /** False, and nothing added, when the device does not go with the others. */
  add(name: RequestName, device: LiveDevice, driver: string): boolean {
    if (!this.#concerns(name)) return true;
    const attribute = attributeOf(device, driver, this.#attribute);
    const value = attribute === undefined ? undefined : valueText(attribute);
    if (value === undefined) return false;
    const fits = this.#isDistinct
      ? !this.#values.includes(value)
      : this.#values.length === 0 || this.#values[0] === value;
    if (fits) this.#values.push(value);
    return fits;
  }

  remove(name: RequestName): void {
    if (this.#concerns(name)) this.#values.pop();
  }
}
