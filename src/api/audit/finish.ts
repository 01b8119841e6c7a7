/** The events at the end of a request. */
import { hasBeginning } from "./audited-request.ts";
import type { AuditTrail } from "./trail.ts";

/**
 * Records what was answered; of an answer that streams, its begin and its end. Events in blocking
 * modes are written when this resolves: nobody gets an answer that is not recorded.
 */
export async function recordAnswer(trail: AuditTrail, response: Response): Promise<Response> {
  trail.responseCode(response.status);
  if (trail.isOver) return response;
  if (trail.isUnauthenticated) {
    await trail.started();
    return response;
  }
  if (!hasBeginning(trail.attributes)) {
    await trail.complete();
    return response;
  }
  await trail.started();
  if (response.body === null) {
    await trail.complete();
    return response;
  }
  const body = watched(response.body, () => void trail.complete());
  return new Response(body, { status: response.status, headers: response.headers });
}

/** `onEnd` is called when the stream ends, fails, or is not wanted any more. */
function watched(body: ReadableStream<Uint8Array>, onEnd: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        onEnd();
        controller.close();
      } catch (error) {
        onEnd();
        controller.error(error);
      }
    },
    async cancel(reason) {
      onEnd();
      await reader.cancel(reason);
    },
  });
}
