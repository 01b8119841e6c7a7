/** JSON patches (RFC 6902): of clients, and of webhooks. */
import { applyPatch, type Operation, Pointer } from "rfc6902";
import { copyJson } from "../schema/copy.ts";

/** As much as a body may hold: copies of copies would double without end. */
const limits = { copyBytesMax: 3 * 1024 * 1024 } as const;

/** An operation `test` whose value is another. */
export class FailedTest extends Error {
  override readonly name = "FailedTest";
}

/**
 * Applies the operations to `original`, which may be changed, and returns the whole.
 *
 * @throws Error at the first operation that cannot be done.
 */
export function applyJsonPatch(body: readonly unknown[], original: unknown): unknown {
  const holder = { root: original };
  const operations = copyJson<Operation[]>(body as Operation[]).map(underRoot);
  const failure = firstFailure(holder, operations);
  if (failure?.name === "TestError") throw new FailedTest(failure.message);
  if (failure !== undefined) throw new Error(failure.message);
  return holder.root;
}

/** Applies the operations in order, up to the first that fails. */
function firstFailure(
  holder: object,
  operations: readonly Operation[],
): { readonly message: string; readonly name?: string } | undefined {
  let copied = 0;
  for (const operation of operations) {
    if (operation.op === "copy") {
      const value: unknown = Pointer.fromJSON(operation.from).get(holder);
      copied += value === undefined ? 0 : JSON.stringify(value).length;
      const copiedMax = limits.copyBytesMax;
      if (copied > copiedMax) {
        const size = `the accumulated size increase of copy is ${copied}`;
        const message = `Unable to complete the copy, ${size}, exceeding the limit ${copiedMax}`;
        return { message };
      }
    }
    if (!operation.path.startsWith("/root/") && operation.path !== "/root")
      return { message: `invalid path ${operation.path}` };
    const [failure] = applyPatch(holder, [setting(holder, operation)]);
    if (failure) return failure;
  }
  return undefined;
}

/** To replace a member of an object that is not there is to add it; a copy of one is null. */
function setting(holder: object, operation: Operation): Operation {
  const { op, path } = operation;
  if (op === "replace" && isAbsentMember(holder, path)) return { ...operation, op: "add" };
  if (op !== "copy" || !isAbsentMember(holder, operation.from)) return operation;
  return { op: "add", path, value: null };
}

function isAbsentMember(holder: object, path: string): boolean {
  const { parent, value } = Pointer.fromJSON(path).evaluate(holder);
  const isMember = typeof parent === "object" && parent !== null && !Array.isArray(parent);
  return isMember && value === undefined;
}

/** Paths are put under a holder so that the whole document can be replaced. */
function underRoot(operation: Operation): Operation {
  const moved = { ...operation, path: `/root${operation.path}` } as Operation;
  if ("from" in moved) moved.from = `/root${moved.from}`;
  return moved;
}
