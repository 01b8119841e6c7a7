/** The types of the table as OpenAPI schemas, for documents of version 2 and 3. */
import { scalarDoc } from "../gen/table.ts";
import { copyJson } from "./copy.ts";
import type { FieldType, MessageType, Scalar, TypeName } from "./type-table.ts";
import { fieldsOf, messageOf } from "./types.ts";

export type Json = Record<string, unknown>;
export type OpenApiVersion = "v2" | "v3";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** Scalars that are types of their own in OpenAPI. */
const scalarDefinitions: Partial<Record<Scalar, TypeName>> = {
  Time: `${meta}.Time`,
  MicroTime: `${meta}.MicroTime`,
  Duration: `${meta}.Duration`,
  Quantity: "io.k8s.apimachinery.pkg.api.resource.Quantity",
  IntOrString: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
};

const plainScalars: Readonly<Record<string, Json>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
};

/** What Go holds where nothing was given. */
const emptyScalars: Readonly<Record<string, unknown>> = {
  string: "",
  bool: false,
  int32: 0,
  int64: 0,
  double: 0,
};

/** Types that hold any JSON and whose sources are not published. */
const rawDefinitions: Readonly<Record<TypeName, Json>> = {
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {
    description: "JSON is any JSON value.",
  },
};

function choice(version: OpenApiVersion, v2: Json, v3: Json): Json {
  return version === "v2" ? v2 : v3;
}

function scalarDefinition(name: TypeName, scalar: Scalar, version: OpenApiVersion): Json {
  const description = scalarDoc(name);
  switch (scalar) {
    case "Time":
    case "MicroTime":
      return { description, type: "string", format: "date-time" };
    case "Duration":
      return { description, type: "string" };
    case "raw":
      return rawDefinitions[name] ?? { description, type: "object" };
    case "Quantity":
      return choice(
        version,
        { description, type: "string" },
        { description, oneOf: [{ type: "string" }, { type: "number" }] },
      );
    default:
      return choice(
        version,
        { description, type: "string", format: "int-or-string" },
        { description, format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] },
      );
  }
}

/** Collects the definitions that a document refers to. */
export class Definitions {
  readonly #found = new Map<TypeName, Json>();
  readonly #version: OpenApiVersion;
  /** Called for a type's group, version and kind; undefined for types that are no kinds. */
  readonly #kindsOf: (type: TypeName) => readonly Json[];

  constructor(version: OpenApiVersion, kindsOf: (type: TypeName) => readonly Json[]) {
    this.#version = version;
    this.#kindsOf = kindsOf;
  }

  /** A reference to a type of the table, which the document then defines. */
  reference(type: TypeName): Json {
    if (!this.#found.has(type)) {
      this.#found.set(type, {});
      this.#found.set(type, this.#message(type));
    }
    return this.referenceTo(type);
  }

  /** A reference to a definition added under that name. */
  referenceTo(name: string): Json {
    const place = this.#version === "v2" ? "definitions" : "components/schemas";
    return { $ref: `#/${place}/${name}` };
  }

  add(name: string, schema: Json): void {
    this.#found.set(name, schema);
  }

  all(): Json {
    const sorted = [...this.#found].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(sorted);
  }

  #message(type: TypeName): Json {
    const message = messageOf(type);
    const described = message.doc === "" ? {} : { description: message.doc };
    if (message.json !== undefined) return described;
    const properties: Json = {};
    const required: string[] = [];
    for (const field of fieldsOf(type).values()) {
      properties[field.name] = this.#field(field);
      if (field.required || field.needed === true) required.push(field.name);
    }
    const kinds = this.#kindsOf(type);
    return {
      ...described,
      type: "object",
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
      ...(required.length === 0 ? {} : { required }),
      ...(message.mapType === undefined ? {} : { "x-kubernetes-map-type": message.mapType }),
      ...(message.union === undefined ? {} : { "x-kubernetes-unions": [unionOf(message.union)] }),
      ...(kinds.length === 0 ? {} : { "x-kubernetes-group-version-kind": kinds }),
    };
  }

  #field(field: FieldType): Json {
    return this.#described(this.#shaped(field), {
      ...(field.doc === "" ? {} : { description: field.doc }),
      ...this.#default(defaultOf(field)),
      ...mergeExtensions(field),
    });
  }

  /** Members beside $ref are lost in version 3; allOf carries both. */
  #described(value: Json, more: Json): Json {
    if (this.#version === "v3" && "$ref" in value && Object.keys(more).length > 0) {
      return { allOf: [value], ...more };
    }
    return { ...value, ...more };
  }

  /** Version 2 has no defaults of built-in types. */
  #default(value: unknown): Json {
    return this.#version === "v2" || value === undefined ? {} : { default: copyJson(value) };
  }

  #shaped(field: FieldType): Json {
    const element = this.#element(field);
    const listed = field.enum === undefined ? element : { ...element, enum: [...field.enum] };
    if (field.shape === "single") return listed;
    const inside = this.#described(listed, this.#default(emptyOf(field.of)));
    if (field.shape === "list") return { type: "array", items: inside };
    return { type: "object", additionalProperties: inside };
  }

  #element(field: FieldType): Json {
    if ("message" in field.of) {
      const { message } = field.of;
      if (messageOf(message).json !== "list") return this.reference(message);
      return { type: "array", items: { type: "string", ...this.#default("") } };
    }
    const { scalar, type } = field.of;
    const name = type ?? scalarDefinitions[scalar];
    if (name === undefined) return { ...plainScalars[scalar] };
    if (!this.#found.has(name)) {
      this.#found.set(name, scalarDefinition(name, scalar, this.#version));
    }
    return this.referenceTo(name);
  }
}

/** What an absent value means where upstream's type cannot be absent. */
function defaultOf(field: FieldType): unknown {
  if (field.default !== undefined) return field.default;
  if (field.shape !== "single" || field.pointer === true) return undefined;
  const isLeftOut = field.omitEmpty === true || field.omitZero === true;
  return isLeftOut && "scalar" in field.of ? undefined : emptyOf(field.of);
}

function emptyOf(of: FieldType["of"]): unknown {
  if ("scalar" in of) return emptyScalars[of.scalar];
  return messageOf(of.message).json === undefined ? {} : undefined;
}

function unionOf({ discriminator, members }: NonNullable<MessageType["union"]>): Json {
  const fields = members.map((name) => [name, `${name.charAt(0).toUpperCase()}${name.slice(1)}`]);
  return {
    ...(discriminator === undefined ? {} : { discriminator }),
    "fields-to-discriminateBy": Object.fromEntries(fields),
  };
}

function mergeExtensions(field: FieldType): Json {
  const { listType, listMapKeys, mapType, patchStrategy, patchMergeKey } = field;
  return {
    ...(listMapKeys === undefined ? {} : { "x-kubernetes-list-map-keys": [...listMapKeys] }),
    ...(listType === undefined ? {} : { "x-kubernetes-list-type": listType }),
    ...(mapType === undefined ? {} : { "x-kubernetes-map-type": mapType }),
    ...(patchMergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": patchMergeKey }),
    ...(patchStrategy === undefined ? {} : { "x-kubernetes-patch-strategy": patchStrategy }),
  };
}
