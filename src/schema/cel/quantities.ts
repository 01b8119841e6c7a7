/** Kubernetes' quantities in CEL: `quantity("1Gi").isGreaterThan(quantity("500Mi"))`. */
import type { Environment } from "@marcbachmann/cel-js";
import {
  addQuantity,
  compareQuantity,
  parseQuantity,
  subtractQuantity,
  tryParseQuantity,
} from "../../lib/quantity.ts";

class CelQuantity {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
}

const nanoPerUnit = 1_000_000_000n;

export function registerQuantities(environment: Environment): void {
  environment.registerType("kubernetes.Quantity", { ctor: CelQuantity, fields: {} });
  const add = environment.registerFunction.bind(environment);
  const type = "kubernetes.Quantity";
  add(`quantity(string): ${type}`, (text: string) => {
    if (tryParseQuantity(text) === undefined) {
      throw new Error("quantities must match the regular expression");
    }
    return new CelQuantity(text);
  });
  add("isQuantity(string): bool", (text: string) => tryParseQuantity(text) !== undefined);
  const nano = ({ text }: CelQuantity): bigint => BigInt(parseQuantity(text).nano);
  const order = (a: CelQuantity, b: CelQuantity): number => compareQuantity(a.text, b.text);
  add(`${type}.sign(): int`, (one: CelQuantity) => BigInt(Math.sign(Number(nano(one)))));
  add(`${type}.isInteger(): bool`, (one: CelQuantity) => nano(one) % nanoPerUnit === 0n);
  add(`${type}.asInteger(): int`, (one: CelQuantity) => {
    if (nano(one) % nanoPerUnit !== 0n) throw new Error("cannot convert value to integer");
    return nano(one) / nanoPerUnit;
  });
  add(`${type}.asApproximateFloat(): double`, (one: CelQuantity) => Number(nano(one)) / 1e9);
  add(`${type}.isLessThan(${type}): bool`, (a: CelQuantity, b: CelQuantity) => order(a, b) < 0);
  add(`${type}.isGreaterThan(${type}): bool`, (a: CelQuantity, b: CelQuantity) => order(a, b) > 0);
  add(`${type}.compareTo(${type}): int`, (a: CelQuantity, b: CelQuantity) => BigInt(order(a, b)));
  const operation = (name: string, work: (a: string, b: string) => string): void => {
    add(`${type}.${name}(${type}): ${type}`, (a: CelQuantity, b: CelQuantity) => {
      return new CelQuantity(work(a.text, b.text));
    });
    add(`${type}.${name}(int): ${type}`, (a: CelQuantity, b: bigint) => {
      return new CelQuantity(work(a.text, String(b)));
    });
  };
  operation("add", addQuantity);
  operation("sub", subtractQuantity);
  environment.registerOperator(`${type} == ${type}`, (a: CelQuantity, b: CelQuantity) => {
    return order(a, b) === 0;
  });
}
