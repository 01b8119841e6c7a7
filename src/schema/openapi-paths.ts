/** Writes operations down, as version 2 or 3 of OpenAPI has them. */
import type { Operation, PathOperations } from "./openapi-operations.ts";
import { type Parameter, ParameterWriter, splitCommon } from "./openapi-parameters.ts";
import type { Json, OpenApiVersion } from "./openapi-schemas.ts";

/** Writes the operations of one document. */
export class PathWriter {
  readonly paths: Json = {};
  readonly #version: OpenApiVersion;
  readonly #parameters: ParameterWriter;

  constructor(version: OpenApiVersion) {
    this.#version = version;
    this.#parameters = new ParameterWriter(version);
  }

  add({ path, operations }: PathOperations): void {
    const { common, own } = splitCommon(operations.map(({ parameters }) => parameters));
    const item: Json = {};
    operations.forEach((operation, i) => {
      item[operation.method] = this.#operation(operation, own[i] ?? []);
    });
    if (common.length > 0) item.parameters = common.map((one) => this.#parameters.write(one));
    this.paths[path] = item;
  }

  /** What version 2 refers to as `#/parameters/...`. */
  sharedParameters(): Json {
    return this.#parameters.shared();
  }

  #operation(operation: Operation, own: readonly Parameter[]): Json {
    const { tag, description, id, body, consumes, produces, answers, answer } = operation;
    const v2 = this.#version === "v2";
    const parameters = own.map((one) => this.#parameters.write(one));
    if (v2 && body !== undefined)
      parameters.unshift(this.#parameters.body(body.schema, body.required));
    const content = v2
      ? { schema: answer }
      : { content: Object.fromEntries(produces.map((type) => [type, { schema: answer }])) };
    const responses = Object.entries(answers).map(([code, words]) => [
      code,
      { description: words, ...content },
    ]);
    return {
      tags: [tag],
      description,
      operationId: id,
      ...(v2 && consumes.length > 0 && { consumes }),
      ...(v2 && { produces, schemes: ["https"] }),
      // Go's clients tell an empty list from none.
      ...(parameters.length > 0 && { parameters }),
      ...(!v2 && body !== undefined && { requestBody: requestBody(body, consumes) }),
      responses: { ...Object.fromEntries(responses), 401: { description: "Unauthorized" } },
      ...(operation.action !== undefined && { "x-kubernetes-action": operation.action }),
      ...(operation.kind !== undefined && { "x-kubernetes-group-version-kind": operation.kind }),
    };
  }
}

function requestBody(
  { schema, required }: NonNullable<Operation["body"]>,
  types: readonly string[],
): Json {
  const content = Object.fromEntries(types.map((type) => [type, { schema }]));
  return { content, ...(required && { required }) };
}
