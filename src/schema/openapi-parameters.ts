/** Parameters of operations: options of requests are types of the table, like all others. */
import type { Json, OpenApiVersion } from "./openapi-schemas.ts";
import type { FieldType, TypeName } from "./type-table.ts";
import { fieldsOf } from "./types.ts";

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly description: string;
  readonly type: string;
}

export const pathParameter = (name: string, description: string): Parameter => ({
  name,
  in: "path",
  description,
  type: "string",
});

/** The one parameter that belongs to no type. */
export const pretty: Parameter = {
  name: "pretty",
  in: "query",
  description:
    "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent " +
    "indicates a browser or command-line HTTP tool (curl and wget).",
  type: "string",
};

const scalarTypes: Readonly<Record<string, string>> = {
  string: "string",
  bool: "boolean",
  int32: "integer",
  int64: "integer",
};

function queryParameter({ name, of, doc }: FieldType): readonly Parameter[] {
  const type = "scalar" in of ? scalarTypes[of.scalar] : undefined;
  return type === undefined ? [] : [{ name, in: "query", description: doc, type }];
}

const typeMeta = new Set(["kind", "apiVersion"]);

/** What of a type of options fits into a query: its plain fields. */
export function optionParameters(type: TypeName): readonly Parameter[] {
  return [...fieldsOf(type).values()]
    .filter(({ name }) => !typeMeta.has(name))
    .flatMap(queryParameter);
}

function byNameAndPlace(a: Parameter, b: Parameter): number {
  const [one, other] = [`${a.name} ${a.in}`, `${b.name} ${b.in}`];
  return one < other ? -1 : one > other ? 1 : 0;
}

const keyOf = ({ name, in: place }: Parameter): string => `${place} ${name}`;

/** Those that all operations of a path have stand at the path. */
export function splitCommon(operations: readonly (readonly Parameter[])[]): {
  readonly common: readonly Parameter[];
  readonly own: readonly (readonly Parameter[])[];
} {
  const counts = new Map<string, number>();
  const byKey = new Map<string, Parameter>();
  for (const parameter of operations.flat()) {
    const key = keyOf(parameter);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    byKey.set(key, parameter);
  }
  const isCommon = (key: string): boolean => counts.get(key) === operations.length;
  return {
    common: [...byKey]
      .filter(([key]) => isCommon(key))
      .map(([, parameter]) => parameter)
      .toSorted(byNameAndPlace),
    own: operations.map((list) =>
      list.filter((parameter) => !isCommon(keyOf(parameter))).toSorted(byNameAndPlace),
    ),
  };
}

/** kubectl of old looks for these where they are used. */
const neverShared = new Set(["query dryRun", "query fieldValidation", "path name", "query name"]);
const sharedBodies = "#/definitions/io.k8s.apimachinery";

/** Writes parameters; those that many operations have are written once in version 2. */
export class ParameterWriter {
  readonly #version: OpenApiVersion;
  readonly #written = new Map<Parameter, Json>();
  readonly #references = new Map<string, Json>();
  readonly #shared: Json = {};

  constructor(version: OpenApiVersion) {
    this.#version = version;
  }

  /** What version 2 refers to as `#/parameters/...`. */
  shared(): Json {
    return Object.fromEntries(
      Object.entries(this.#shared).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  }

  write(parameter: Parameter): Json {
    const known = this.#written.get(parameter);
    if (known !== undefined) return known;
    const written = this.#version === "v2" ? this.#writeV2(parameter) : writeV3(parameter);
    this.#written.set(parameter, written);
    return written;
  }

  /** The body as version 2 has it: a parameter. */
  body(schema: Json, required: boolean): Json {
    const written = { name: "body", in: "body", ...(required && { required }), schema };
    const isShared = typeof schema.$ref === "string" && schema.$ref.startsWith(sharedBodies);
    return isShared ? this.#share("body", written) : written;
  }

  #writeV2(parameter: Parameter): Json {
    const { name, in: place, type, description } = parameter;
    // In the order of Go's structs: the shared name is a hash of the text.
    const required = place === "path" && { required: true };
    const written = {
      uniqueItems: true,
      type,
      ...(description !== "" && { description }),
      name,
      in: place,
      ...required,
    };
    return neverShared.has(keyOf(parameter)) ? written : this.#share(name, written);
  }

  #share(name: string, written: Json): Json {
    const text = JSON.stringify(written);
    const known = this.#references.get(text);
    if (known !== undefined) return known;
    const shared = `${name}-${nameHash(text)}`;
    this.#shared[shared] = written;
    const reference = { $ref: `#/parameters/${shared}` };
    this.#references.set(text, reference);
    return reference;
  }
}

function writeV3({ name, in: place, type, description }: Parameter): Json {
  return {
    name,
    in: place,
    ...(description !== "" && { description }),
    ...(place === "path" && { required: true }),
    schema: { type, uniqueItems: true },
  };
}

/** FNV-1 of 64 bits, as Go's clients know the names from upstream. */
function nameHash(text: string): string {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, hash * 0x100_0000_01b3n) ^ BigInt(byte);
  }
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, hash);
  return Buffer.from(bytes.subarray(0, 6)).toString("base64url");
}
