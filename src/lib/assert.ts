/** Ends the operation when an invariant of our own is broken; `rule` says what must hold. */
export function assert(condition: unknown, rule: string): asserts condition {
  if (!condition) throw new AssertionError(rule);
}

/** A broken invariant: never retried, ends the process when it reaches the executor. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}
