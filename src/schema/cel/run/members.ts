/** Fields, keys and indices: `a.b`, `a["b"]`, `a[0]`, `a.?b`, `has(a.b)`. */
import { CelFault } from "../fault.ts";
import { CelOptional, CelUint } from "../scalars.ts";
import { isMap, mapGet } from "./map.ts";
import { CelOpaque } from "./values.ts";

type List = readonly unknown[];

/** @throws CelFault when there is no such key or index. */
export function member(target: unknown, key: unknown): unknown {
  if (target instanceof CelOptional) return optionalMember(target, key);
  const found = find(target, key);
  if (found !== undefined) return found;
  const isList = Array.isArray(target);
  if (isList && indexOf(key) === undefined) {
    throw new CelFault(`unsupported index value ${String(key)} in list`);
  }
  throw new CelFault(isList ? `index out of bounds: ${key}` : `no such key: ${String(key)}`);
}

/** The member as an optional value. */
export function optionalMember(target: unknown, key: unknown): CelOptional {
  if (target instanceof CelOptional) {
    return target.hasValue ? optionalMember(target.value, key) : CelOptional.none;
  }
  const found = find(target, key);
  return found === undefined ? CelOptional.none : CelOptional.of(found);
}

export function hasMember(target: unknown, key: string): boolean {
  if (target instanceof CelOptional) return target.hasValue && hasMember(target.value, key);
  return find(target, key) !== undefined;
}

function find(target: unknown, key: unknown): unknown {
  if (Array.isArray(target)) return (target as List)[indexOf(key) ?? -1];
  if (isMap(target)) return mapGet(target, key);
  return target instanceof CelOpaque ? target.field(String(key)) : undefined;
}

/** Whole numbers of any type are indices. */
function indexOf(key: unknown): number | undefined {
  const index = key instanceof CelUint ? key.value : key;
  if (typeof index !== "bigint" && !Number.isInteger(index)) return undefined;
  return Number(index);
}
