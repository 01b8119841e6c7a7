import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  addQuantity,
  canonicalQuantity,
  compareQuantity,
  quantityMilliValue,
  quantityValue,
  subtractQuantity,
  tryParseQuantity,
} from "./quantity.ts";

test("texts become canonical as upstream writes them", () => {
  const cases: Readonly<Record<string, string>> = {
    "0": "0",
    "0n": "0",
    "0.5": "500m",
    "1000m": "1",
    "1500m": "1500m",
    "1024Ki": "1Mi",
    "1.5Gi": "1536Mi",
    "0.5Ki": "512",
    "0.5Mi": "512Ki",
    "1000k": "1M",
    "1e3": "1e3",
    "12E6": "12e6",
    "1000e0": "1e3",
    "-100m": "-100m",
    "+1": "1",
    ".5": "500m",
    "5.": "5",
    "0.0000000001": "1n",
    "100E": "9223372036854775807",
    "123456789": "123456789",
  };
  for (const [text, want] of Object.entries(cases)) expect(canonicalQuantity(text)).toBe(want);
});

test("what is no quantity is refused", () => {
  for (const text of ["", ".", "1.1.1", "1mm", "1 Gi", "Gi", "1ki", "--1", "1e", "0x10", "1Ei5"]) {
    expect(tryParseQuantity(text)).toBeUndefined();
  }
});

test("sums are exact and keep the left format", () => {
  expect(addQuantity("0.1", "0.2")).toBe("300m");
  expect(addQuantity("1Gi", "1")).toBe("1073741825");
  expect(addQuantity("0", "1Gi")).toBe("1Gi");
  expect(subtractQuantity("2Gi", "512Mi")).toBe("1536Mi");
  expect(compareQuantity("1000m", "1")).toBe(0);
  expect(compareQuantity("1Ki", "1k")).toBe(1);
});

test("values round away from zero", () => {
  expect(quantityValue("1.1")).toBe(2);
  expect(quantityMilliValue("0.0001")).toBe(1);
  expect(quantityMilliValue("250m")).toBe(250);
});

test("the canonical form is a fixed point of the same amount", () => {
  const suffix = fc.constantFrom("", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2");
  const text = fc
    .tuple(fc.integer({ min: -1e6, max: 1e6 }), fc.nat(999), suffix)
    .map(([whole, fraction, unit]) => `${whole}.${fraction}${unit}`);
  fc.assert(
    fc.property(text, (written) => {
      const once = canonicalQuantity(written);
      expect(canonicalQuantity(once)).toBe(once);
      expect(compareQuantity(once, written)).toBe(0);
    }),
  );
});
