/** Semantic versions in CEL (https://semver.org), as Kubernetes' semver library. */
import type { Environment } from "@marcbachmann/cel-js";

class CelVersion {
  constructor(readonly text: string) {}

  static parse(text: string): CelVersion | undefined {
    const form = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
    return form.test(text) ? new CelVersion(text) : undefined;
  }
  part(index: number): bigint {
    return BigInt(/^(\d+)\.(\d+)\.(\d+)/.exec(this.text)?.[index + 1] ?? "0");
  }
  toString(): string {
    return this.text;
  }
}

/** `v1.2` becomes `1.2.0`: what `semver(text, true)` accepts. */
function normalized(text: string): string {
  const [, numbers = "", rest = ""] = /^v?([\d.]*)(.*)$/.exec(text) ?? [];
  const parts = numbers.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
  while (parts.length < 3) parts.push("0");
  return `${parts.join(".")}${rest}`;
}

export function registerVersions(environment: Environment): void {
  const type = "kubernetes.Semver";
  environment.registerType(type, { ctor: CelVersion, fields: {} });
  const add = environment.registerFunction.bind(environment);
  const made = (text: string): CelVersion => {
    const version = CelVersion.parse(text);
    if (version === undefined) throw new Error(`invalid semantic version: ${text}`);
    return version;
  };
  add(`semver(string): ${type}`, made);
  add(`semver(string, bool): ${type}`, (text: string, loose: boolean) =>
    made(loose ? normalized(text) : text),
  );
  add("isSemver(string): bool", (text: string) => CelVersion.parse(text) !== undefined);
  add("isSemver(string, bool): bool", (text: string, loose: boolean) => {
    return CelVersion.parse(loose ? normalized(text) : text) !== undefined;
  });
  ["major", "minor", "patch"].forEach((name, index) => {
    add(`${type}.${name}(): int`, (version: CelVersion) => version.part(index));
  });
  const order = (a: CelVersion, b: CelVersion): number => Bun.semver.order(a.text, b.text);
  add(`${type}.compareTo(${type}): int`, (a: CelVersion, b: CelVersion) => BigInt(order(a, b)));
  add(`${type}.isLessThan(${type}): bool`, (a: CelVersion, b: CelVersion) => order(a, b) < 0);
  add(`${type}.isGreaterThan(${type}): bool`, (a: CelVersion, b: CelVersion) => order(a, b) > 0);
  environment.registerOperator(`${type} == ${type}`, (a: CelVersion, b: CelVersion) => {
    return order(a, b) === 0;
  });
}
