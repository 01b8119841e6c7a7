/** The types of built-in kinds, as expressions see them when policies are checked. */
import type { FieldType, Scalar, TypeName } from "../../type-table.ts";
import { fieldsOf, messageOf, shortName } from "../../types.ts";
import * as types from "../check/types.ts";
import { celFieldName } from "../values.ts";

const scalars: Readonly<Record<Scalar, types.CelType | undefined>> = {
  string: types.string,
  bool: types.bool,
  int32: types.int,
  int64: types.int,
  double: types.double,
  bytes: types.bytes,
  Time: types.timestamp,
  MicroTime: types.timestamp,
  Duration: types.string,
  IntOrString: types.dyn,
  // Upstream's schema for these has no single type: fields of them are not seen.
  Quantity: undefined,
  raw: undefined,
};

/** The fields of a message: made when one is asked for, since types refer to each other. */
class KindFields extends Map<string, { readonly type: types.CelType }> {
  constructor(
    private readonly of: TypeName,
    private readonly path: string,
  ) {
    super();
  }

  override get(word: string): { readonly type: types.CelType } | undefined {
    for (const [name, field] of fieldsOf(this.of)) {
      if (celFieldName(name) !== word) continue;
      const type = fieldType(field, `${this.path}.${word}`);
      return type === undefined ? undefined : { type };
    }
    return undefined;
  }

  override has(word: string): boolean {
    return this.get(word) !== undefined;
  }
}

function fieldType({ of, shape }: FieldType, path: string): types.CelType | undefined {
  const suffix = shape === "list" ? ".@idx" : shape === "map" ? ".@elem" : "";
  const item =
    "scalar" in of ? scalarType(of.scalar, path) : messageType(of.message, path + suffix);
  if (item === undefined || shape === "single") return item;
  return shape === "list" ? types.listOf(item) : types.mapOf(types.string, item);
}

/** Of any JSON nothing can be selected. */
function scalarType(scalar: Scalar, path: string): types.CelType | undefined {
  return scalar === "raw" ? types.struct(path, new Map()) : scalars[scalar];
}

function messageType(name: TypeName, path: string): types.CelType | undefined {
  // Its JSON form is no object: upstream's schema says nothing about it.
  if (messageOf(name).json !== undefined) return undefined;
  return types.struct(path, new KindFields(name, path));
}

/** The type of a built-in kind. */
export function kindType(name: TypeName): types.CelType {
  const kind = shortName(name);
  return types.struct(kind, new KindFields(name, kind));
}
