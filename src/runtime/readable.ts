/** What node's streams give, as web streams. */
import type { Readable } from "node:stream";

/**
 * Reads `source` no faster than it is taken. A close before the end fails with `closedEarly`, or
 * counts as the end without one; `cancel` is called when the reader gives up.
 */
export function readableOf(
  source: Readable,
  options: { readonly closedEarly?: Error; readonly cancel: () => void },
): ReadableStream<Uint8Array> {
  let ended = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const finish = (error?: Error): void => {
        if (ended) return;
        ended = true;
        if (error === undefined) controller.close();
        else controller.error(error);
      };
      source.on("data", (chunk: Uint8Array) => {
        if (ended) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) source.pause();
      });
      source.on("end", () => finish());
      source.on("error", finish);
      source.on("close", () => finish(options.closedEarly));
      source.pause();
    },
    pull: () => {
      source.resume();
    },
    cancel: () => {
      ended = true;
      options.cancel();
    },
  });
}
