/** The body of a request to an action, as the object it must be. */
import type { ApiRequest } from "../api/request.ts";
import { ApiError } from "../lib/api-error.ts";

/** As `readBody`, of an object that must say what the path says it is about. */
export function readNamed<T extends { readonly metadata?: { readonly name?: string } }>(
  request: ApiRequest,
  kind: string,
): T {
  const object = readBody<T>(request);
  if (object.metadata?.name === request.name) return object;
  throw new ApiError("BadRequest", `name in URL does not match name in ${kind} object`);
}

/** Bodies are JSON; YAML and protobuf are decoded by the pipeline before. */
export function readBody<T extends object>(request: ApiRequest): T {
  const { body } = request;
  if (body === undefined) return {} as T;
  if (!(body instanceof Uint8Array)) return body as unknown as T;
  if (body.length === 0) return {} as T;
  const text = new TextDecoder().decode(body);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as T;
  } catch (error) {
    throw new ApiError("BadRequest", `the object provided is unrecognized: ${String(error)}`);
  }
  throw new ApiError("BadRequest", "the object provided is unrecognized (must be an object)");
}
