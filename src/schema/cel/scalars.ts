/** Values of CEL that JavaScript has no type for. */
import { CelFault } from "./fault.ts";

export class CelUint {
  constructor(readonly value: bigint) {}
  toString(): string {
    return String(this.value);
  }
}

const nanosPerSecond = 1_000_000_000n;
const limits = {
  intMin: -(2n ** 63n),
  intMax: 2n ** 63n - 1n,
  uintMax: 2n ** 64n - 1n,
  // 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z.
  secondsMin: -62_135_596_800n,
  secondsMax: 253_402_300_799n,
} as const;

/** @throws CelFault when the number does not fit into 64 bits. */
export function checkInt(value: bigint): bigint {
  if (value < limits.intMin || value > limits.intMax) throw new CelFault("integer overflow");
  return value;
}

/** @throws CelFault when the number does not fit into 64 bits. */
export function checkUint(value: bigint): CelUint {
  if (value < 0n || value > limits.uintMax) throw new CelFault("unsigned integer overflow");
  return new CelUint(value);
}

export class CelDuration {
  constructor(readonly nanos: bigint) {
    if (nanos < limits.intMin || nanos > limits.intMax) throw new CelFault("duration overflow");
  }

  /** As CEL writes durations: seconds, with a fraction where there is one. */
  toString(): string {
    const [whole, rest] = [this.nanos / nanosPerSecond, this.nanos % nanosPerSecond];
    const sign = this.nanos < 0n ? "-" : "";
    const fraction = String(rest < 0n ? -rest : rest)
      .padStart(9, "0")
      .replace(/0+$/, "");
    return `${sign}${whole < 0n ? -whole : whole}${fraction === "" ? "" : `.${fraction}`}s`;
  }
}

export class CelTimestamp {
  constructor(
    readonly seconds: bigint,
    readonly nanos: bigint,
  ) {
    if (seconds < limits.secondsMin || seconds > limits.secondsMax) {
      throw new CelFault("timestamp overflow");
    }
  }

  static ofNanos(total: bigint): CelTimestamp {
    const nanos = ((total % nanosPerSecond) + nanosPerSecond) % nanosPerSecond;
    return new CelTimestamp((total - nanos) / nanosPerSecond, nanos);
  }

  get total(): bigint {
    return this.seconds * nanosPerSecond + this.nanos;
  }

  /** RFC 3339 in UTC, with as many digits of a second as it takes. */
  toString(): string {
    const base = new Date(Number(this.seconds) * 1000).toISOString().slice(0, 19);
    const fraction = String(this.nanos).padStart(9, "0").replace(/0+$/, "");
    return `${base}${fraction === "" ? "" : `.${fraction}`}Z`;
  }
}

export class CelOptional {
  static readonly none = new CelOptional(undefined);

  private constructor(private readonly held: { readonly value: unknown } | undefined) {}

  static of(value: unknown): CelOptional {
    return new CelOptional({ value });
  }

  get hasValue(): boolean {
    return this.held !== undefined;
  }

  /** @throws CelFault when there is none. */
  get value(): unknown {
    if (this.held === undefined) throw new CelFault("optional.none() dereference");
    return this.held.value;
  }
}

/** A type as a value: what `type(x)` yields. */
export class CelTypeValue {
  constructor(readonly name: string) {}
  toString(): string {
    return this.name;
  }
}
