/** The body of a request, within bounds. */
import { ApiError } from "../lib/api-error.ts";

const limits = { bodyBytesMax: 3 * 1024 * 1024 } as const;

/** Undefined when there is none; throws RequestEntityTooLarge, if it can before reading. */
export async function readBody(request: Request): Promise<Uint8Array | undefined> {
  if (request.body === null) return undefined;
  const announced = Number(request.headers.get("content-length") ?? "0");
  if (announced > limits.bodyBytesMax) throw bodyTooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > limits.bodyBytesMax) throw bodyTooLarge();
    chunks.push(chunk);
  }
  const [only] = chunks;
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
}

function bodyTooLarge(): ApiError {
  const { bodyBytesMax } = limits;
  return new ApiError(
    "RequestEntityTooLarge",
    `Request entity too large: limit is ${bodyBytesMax}`,
  );
}
