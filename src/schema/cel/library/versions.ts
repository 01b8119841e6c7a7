/** Semantic versions (https://semver.org), as Kubernetes' semver library. */
import type { Functions } from "../check/functions.ts";
import { nameType, struct } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { CelOpaque } from "../run/values.ts";

const type = nameType(struct("kubernetes.Semver")).name;
const identifiers = "[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*";
const number = "(0|[1-9]\\d*)";
const form = new RegExp(
  `^${number}\\.${number}\\.${number}(?:-(${identifiers}))?(?:\\+${identifiers})?$`,
);

/** A semantic version as a value of expressions. */
export class CelVersion extends CelOpaque {
  override readonly typeName = type;
  private constructor(
    readonly text: string,
    readonly parts: readonly bigint[],
  ) {
    super();
  }

  static parse(text: string): CelVersion | undefined {
    const [whole, ...parts] = form.exec(text) ?? [];
    if (whole === undefined) return undefined;
    const before = parts[3]?.split(".") ?? [];
    if (before.some((part) => /^0\d+$/.test(part))) return undefined;
    const numbers = parts.slice(0, 3).map((part) => BigInt(part));
    return numbers.some((one) => one >= 2n ** 64n) ? undefined : new CelVersion(text, numbers);
  }

  override equals(other: CelOpaque): boolean {
    return other instanceof CelVersion && order(this, other) === 0;
  }
}

function order(a: CelVersion, b: CelVersion): number {
  return Bun.semver.order(a.text, b.text);
}

/** `v1.2` becomes `1.2.0`: what `semver(text, true)` accepts. */
function normalized(text: string): string {
  const [, numbers = "", rest = ""] = /^v?([\d.]*)(.*)$/.exec(text) ?? [];
  const parts = numbers.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
  // Only what has all three parts may say more than numbers.
  if (parts.length < 3 && rest !== "") return text;
  while (parts.length < 3) parts.push("0");
  return `${parts.join(".")}${rest}`;
}

function made(text: string): CelVersion {
  const version = CelVersion.parse(text);
  if (version !== undefined) return version;
  if (text === "") throw new CelFault("Version string empty");
  if (text.split(".").length < 3) throw new CelFault("No Major.Minor.Patch elements found");
  throw new CelFault(`Invalid character(s) found in version ${JSON.stringify(text)}`);
}

export function registerVersions(functions: Functions): void {
  functions
    .add(`semver(string): ${type}`, made)
    .add(`semver(string, bool): ${type}`, (text: string, isLoose: boolean) =>
      made(isLoose ? normalized(text) : text),
    )
    .add("isSemver(string): bool", (text: string) => CelVersion.parse(text) !== undefined)
    .add("isSemver(string, bool): bool", (text: string, isLoose: boolean) => {
      return CelVersion.parse(isLoose ? normalized(text) : text) !== undefined;
    })
    .add(`${type}->compareTo(${type}): int`, (a: CelVersion, b: CelVersion) => BigInt(order(a, b)))
    .add(`${type}->isLessThan(${type}): bool`, (a: CelVersion, b: CelVersion) => order(a, b) < 0)
    .add(
      `${type}->isGreaterThan(${type}): bool`,
      (a: CelVersion, b: CelVersion) => order(a, b) > 0,
    );
  ["major", "minor", "patch"].forEach((name, index) => {
    functions.add(`${type}->${name}(): int`, ({ parts }: CelVersion) => parts[index] ?? 0n);
  });
}
