/** Kubernetes quantities (`100m`, `1.5Gi`, `2e3`), exact: a whole number of nano units. */

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

export interface Quantity {
  /** The amount in units of 10⁻⁹. */
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const nanosPerUnit = 1_000_000_000n;
const limits = { amountMax: 2n ** 63n - 1n, exponentDigitsMax: 3 } as const;

const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const decimalSuffixes: ReadonlyMap<number, string> = new Map(
  Object.entries(decimalExponents).map(([suffix, exponent]) => [exponent, suffix]),
);
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;

/** What Kubernetes says of a text that is no quantity. */
export const quantityRule =
  "quantities must match the regular expression " +
  "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const pattern = /^([+-]?)(\d*)(?:\.(\d*))?((?:[KMGTPE]i|[numkMGTPE])?|[eE][+-]?\d+)$/;

function power10(exponent: number): bigint {
  return 10n ** BigInt(exponent);
}

/** Rounds away from zero, as Kubernetes does below one nano unit. */
function divideUp(value: bigint, divisor: bigint): bigint {
  return (value + divisor - 1n) / divisor;
}

function scaleOf(suffix: string): { format: QuantityFormat; binary: number; exponent: number } {
  if (suffix.endsWith("i")) {
    const binary = binarySuffixes.indexOf(suffix as (typeof binarySuffixes)[number]);
    return { format: "BinarySI", binary, exponent: 0 };
  }
  const exponent = decimalExponents[suffix];
  if (exponent !== undefined) return { format: "DecimalSI", binary: 0, exponent };
  return { format: "DecimalExponent", binary: 0, exponent: Number(suffix.slice(1)) };
}

/** The quantity that `text` writes, or undefined when it is none. */
export function tryParseQuantity(text: string): Quantity | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  const [, sign, whole = "", fraction = "", suffix = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const { format, binary, exponent } = scaleOf(suffix);
  if (Math.abs(exponent) >= 10 ** limits.exponentDigitsMax) return undefined;
  const digits = BigInt(whole + fraction) << BigInt(10 * binary);
  const shift = 9 + exponent - fraction.length;
  const nano = shift >= 0 ? digits * power10(shift) : divideUp(digits, power10(-shift));
  const most = limits.amountMax * nanosPerUnit;
  const capped = nano > most ? most : nano;
  return { nano: sign === "-" ? -capped : capped, format };
}

/** The quantity that `text` writes; throws RangeError with Kubernetes' rule when it is none. */
export function parseQuantity(text: string): Quantity {
  const quantity = tryParseQuantity(text);
  if (quantity === undefined) throw new RangeError(quantityRule);
  return quantity;
}

function formatDecimal(nano: bigint, exponential: boolean): string {
  let value = nano;
  let exponent = -9;
  while (exponent < 18 && value % 1000n === 0n) {
    value /= 1000n;
    exponent += 3;
  }
  if (!exponential) return `${value}${decimalSuffixes.get(exponent) ?? ""}`;
  return exponent === 0 ? `${value}` : `${value}e${exponent}`;
}

function formatBinary(units: bigint): string {
  let value = units;
  let index = 0;
  while (index < binarySuffixes.length - 1 && value % 1024n === 0n) {
    value /= 1024n;
    index++;
  }
  return `${value}${binarySuffixes[index] ?? ""}`;
}

/** The canonical text: no fraction, the largest suffix possible. */
export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return "0";
  const whole = nano % nanosPerUnit === 0n;
  const size = nano < 0n ? -nano : nano;
  // Small and fractional amounts have no exact binary form; they are written decimally.
  if (format === "BinarySI" && whole && size >= 1024n * nanosPerUnit) {
    return formatBinary(nano / nanosPerUnit);
  }
  return formatDecimal(nano, format === "DecimalExponent");
}

/** The canonical form of a quantity's text. */
export function canonicalQuantity(text: string): string {
  return formatQuantity(parseQuantity(text));
}

/** Negative, zero or positive as `a` is less than, equal to or more than `b`. */
export function compareQuantity(a: string, b: string): number {
  const difference = parseQuantity(a).nano - parseQuantity(b).nano;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

function withFormatOf(a: Quantity, b: Quantity, nano: bigint): string {
  return formatQuantity({ nano, format: a.nano === 0n ? b.format : a.format });
}

/** a + b in the format of `a`, or of `b` when `a` is zero. */
export function addQuantity(a: string, b: string): string {
  const [left, right] = [parseQuantity(a), parseQuantity(b)];
  return withFormatOf(left, right, left.nano + right.nano);
}

/** a − b in the format of `a`, or of `b` when `a` is zero. */
export function subtractQuantity(a: string, b: string): string {
  const [left, right] = [parseQuantity(a), parseQuantity(b)];
  return withFormatOf(left, right, left.nano - right.nano);
}

function roundedUp(nano: bigint, unit: bigint): number {
  return Number(nano < 0n ? -divideUp(-nano, unit) : divideUp(nano, unit));
}

/** Whole units (bytes, pods), rounded away from zero: Go's `Value()`. */
export function quantityValue(text: string): number {
  return roundedUp(parseQuantity(text).nano, nanosPerUnit);
}

/** Thousandths (of a core), rounded away from zero: Go's `MilliValue()`. */
export function quantityMilliValue(text: string): number {
  return roundedUp(parseQuantity(text).nano, nanosPerUnit / 1000n);
}
