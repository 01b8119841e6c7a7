/** The Kubernetes types as data. `src/gen/table.ts` exports `typeTable: TypeTable`. */

/** The OpenAPI definition name, for example `io.k8s.api.core.v1.Pod`. */
export type TypeName = string;

export type Scalar =
  | "string"
  | "bool"
  | "int32"
  | "int64"
  | "double"
  | "bytes"
  /** RFC 3339 seconds, `null` allowed. */
  | "Time"
  | "MicroTime"
  | "Quantity"
  | "IntOrString"
  | "Duration"
  /** Any JSON: RawExtension, JSON, FieldsV1. */
  | "raw";

export interface ScalarOf {
  readonly scalar: Scalar;
  /** The type's own name, of `raw` alone. */
  readonly type?: TypeName;
}

export interface FieldType {
  /** JSON name. */
  readonly name: string;
  /** Protobuf field number. */
  readonly number: number;
  /** What one element is: a scalar or another message. */
  readonly of: ScalarOf | { readonly message: TypeName };
  readonly shape: "single" | "list" | "map";
  readonly required: boolean;
  /** Clients must give it (`+required`), though upstream leaves an empty value out of JSON. */
  readonly needed?: boolean;
  /** Upstream leaves an empty value out of JSON. */
  readonly omitEmpty?: boolean;
  /** Upstream leaves a struct without content out of JSON. */
  readonly omitZero?: boolean;
  /** Upstream tells absent from empty (a Go pointer). */
  readonly pointer?: boolean;
  readonly doc: string;
  /** True when upstream embeds the struct (`json:",inline"`): its fields stand in the parent. */
  readonly inline?: boolean;
  /** Of a flattened field: the embedded structs it stands in, as Go's errors tell them. */
  readonly embedding?: string;
  /** Upstream's name of the type where it is none of Go's own: `[]v1.OperationType`. */
  readonly goType?: string;
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  readonly mapType?: "atomic" | "granular";
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
  /** The `+default` marker as a JSON value. */
  readonly default?: unknown;
  readonly enum?: readonly string[];
}

export interface MessageType {
  readonly name: TypeName;
  readonly doc: string;
  readonly fields: readonly FieldType[];
  /** Set when the type carries `apiVersion` and `kind` (embeds TypeMeta): its kind. */
  readonly kind?: string;
  /** How the message is merged as a whole: the `+structType` marker. */
  readonly mapType?: "atomic" | "granular";
  /** Fields of which one counts: the `+union` marker. */
  readonly union?: { readonly discriminator?: string; readonly members: readonly string[] };
  /**
   * Set when the JSON form is not an object: `list` is the list of the only field, the others hold
   * a schema (the field `schema`) or a boolean, a list of schemas, a list of strings.
   */
  readonly json?: "list" | "schemaOrBool" | "schemaOrArray" | "schemaOrStrings";
}

export type TypeTable = Pick<ReadonlyMap<TypeName, MessageType>, "get" | "has" | "keys" | "size">;
