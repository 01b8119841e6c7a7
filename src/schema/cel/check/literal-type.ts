/** The types of literals. */
import type { LiteralValue } from "../syntax/ast.ts";
import { bool, bytes, type CelType, double, int, string, typeOfNull, uint } from "./types.ts";

export function literalType(value: LiteralValue): CelType {
  switch (typeof value) {
    case "string":
      return string;
    case "bigint":
      return int;
    case "number":
      return double;
    case "boolean":
      return bool;
    default:
      if (value === null) return typeOfNull;
      return value instanceof Uint8Array ? bytes : uint;
  }
}
