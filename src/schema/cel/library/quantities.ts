/** Kubernetes' quantities: `quantity("1Gi").isGreaterThan(quantity("500Mi"))`. */
import {
  addQuantity,
  compareQuantity,
  parseQuantity,
  quantityRule,
  subtractQuantity,
  tryParseQuantity,
} from "../../../lib/quantity.ts";
import type { Functions } from "../check/functions.ts";
import { nameType, struct } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { CelOpaque } from "../run/values.ts";

export const quantityType = nameType(struct("kubernetes.Quantity"));
const type = quantityType.name;
const nanoPerUnit = 1_000_000_000n;

/** A quantity as a value of expressions. */
export class CelQuantity extends CelOpaque {
  override readonly typeName = type;
  constructor(readonly text: string) {
    super();
  }
  get nano(): bigint {
    return BigInt(parseQuantity(this.text).nano);
  }
  override equals(other: CelOpaque): boolean {
    return other instanceof CelQuantity && order(this, other) === 0;
  }
}

function order(a: CelQuantity, b: CelQuantity): number {
  return compareQuantity(a.text, b.text);
}

export function registerQuantities(functions: Functions): void {
  functions
    .add(`quantity(string): ${type}`, (text: string) => {
      if (tryParseQuantity(text) === undefined) {
        const hasForm = /^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$/.test(text);
        throw new CelFault(hasForm ? "unable to parse quantity's suffix" : quantityRule);
      }
      return new CelQuantity(text);
    })
    .add("isQuantity(string): bool", (text: string) => tryParseQuantity(text) !== undefined)
    .add(`sign(${type}): int`, (one: CelQuantity) => BigInt(Math.sign(Number(one.nano))))
    .add(`${type}->isInteger(): bool`, ({ nano }: CelQuantity) => whole(nano) !== undefined)
    .add(`${type}->asInteger(): int`, ({ nano }: CelQuantity) => {
      const value = whole(nano);
      if (value === undefined) throw new CelFault("cannot convert value to integer");
      return value;
    })
    .add(`${type}->asApproximateFloat(): double`, ({ nano }: CelQuantity) => Number(nano) / 1e9)
    .add(`${type}->isLessThan(${type}): bool`, (a: CelQuantity, b: CelQuantity) => order(a, b) < 0)
    .add(`${type}->isGreaterThan(${type}): bool`, (a: CelQuantity, b: CelQuantity) => {
      return order(a, b) > 0;
    })
    .add(`${type}->compareTo(${type}): int`, (a: CelQuantity, b: CelQuantity) =>
      BigInt(order(a, b)),
    );
  const operation = (name: string, work: (a: string, b: string) => string): void => {
    functions
      .add(`${type}->${name}(${type}): ${type}`, (a: CelQuantity, b: CelQuantity) => {
        return new CelQuantity(work(a.text, b.text));
      })
      .add(`${type}->${name}(int): ${type}`, (a: CelQuantity, b: bigint) => {
        return new CelQuantity(work(a.text, String(b)));
      });
  };
  operation("add", addQuantity);
  operation("sub", subtractQuantity);
}

/** Undefined for what is no whole number of 64 bits. */
function whole(nano: bigint): bigint | undefined {
  const value = nano / nanoPerUnit;
  return nano % nanoPerUnit === 0n && BigInt.asIntN(64, value) === value ? value : undefined;
}
