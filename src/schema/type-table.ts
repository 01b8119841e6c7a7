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

export interface FieldType {
  /** JSON name. */
  readonly name: string;
  /** Protobuf field number. */
  readonly number: number;
  /** What one element is: a scalar or another message. */
  readonly of: { readonly scalar: Scalar } | { readonly message: TypeName };
  readonly shape: "single" | "list" | "map";
  readonly required: boolean;
  readonly doc: string;
  /** True when upstream embeds the struct inline (`json:",inline"`): its fields stand in the parent. */
  readonly inline?: boolean;
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
}

export type TypeTable = ReadonlyMap<TypeName, MessageType>;
