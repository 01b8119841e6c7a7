/** LIST: from the LiveSet when the newest state is asked, from the store for older revisions. */
import { ApiError, type StatusObject } from "../lib/api-error.ts";
import { filterInTurns } from "../lib/turns.ts";
import { encodeStored, StoredObject } from "../live/live-object.ts";
import type { SearchableSet } from "../live/live-set.ts";
import { type KubeObject, keyOf } from "../schema/object.ts";
import {
  Compacted,
  FutureRevision,
  type KeyRange,
  prefixRange,
  type Revision,
} from "../store/store.ts";
import { actionContext } from "./action.ts";
import type { Call } from "./call.ts";
import { decodeContinue, encodeContinue } from "./continue-token.ts";
import { readListOptions } from "./list-options.ts";
import { storagePrefixOf } from "./registry.ts";
import { type Selection, selectionOf } from "./selection.ts";
import { type Stored, storedAllFrom } from "./stored.ts";

const plain = { freeze: false } as const;
const limits = { freshnessWaitMs: 3000, selectingChunkMin: 500 } as const;

export interface Listed {
  readonly objects: readonly Stored[];
  readonly revision: Revision;
  readonly continue: string;
  readonly remaining: number | undefined;
}

/** The objects that the request selects. */
export async function listObjects(call: Call): Promise<Listed> {
  const { definition, request } = call;
  const options = readListOptions(request.query, "list");
  const selection = selectionOf(definition, request);
  if (options.continue !== "") {
    const token = decodeContinue(options.continue);
    return listFromStore(call, selection, { ...token, limit: options.limit });
  }
  if (options.exact !== undefined) {
    await waitFor(call, options.exact);
    const from = { revision: options.exact, start: selection.prefix, limit: options.limit };
    return listFromStore(call, selection, from);
  }
  if (definition.custom?.convert !== undefined) {
    if (options.notOlderThan > 0) await waitForStore(call, options.notOlderThan);
    const from = { revision: -1, start: selection.prefix, limit: options.limit };
    return listFromStore(call, selection, from);
  }
  if (definition.computed !== undefined) {
    const { prefix, matches } = selection;
    const all = await computedObjects(call);
    const objects = all.filter((one) => one.key.startsWith(prefix) && matches(one));
    const revision = await call.parts.store.revision();
    return { objects, revision, continue: "", remaining: undefined };
  }
  const set = await currentSet(call, options.notOlderThan);
  return listFromSet(call, set, selection, options.limit);
}

/** A LiveSet behind a webhook is late by itself: the store knows which revisions exist. */
async function waitForStore(call: Call, revision: Revision): Promise<void> {
  const newest = await call.parts.store.revision();
  if (revision > newest) throw tooLarge(revision, newest);
}

/** The objects of a kind that is not stored, by key. */
export async function computedObjects(call: Call): Promise<readonly Stored[]> {
  const { definition, request } = call;
  const namespace = definition.namespaced ? request.namespace : "";
  const objects = (await definition.computed?.(namespace, actionContext(call))) ?? [];
  return objects
    .map((object) => new StoredObject<KubeObject>(keyOf(object), 0, encodeStored(object), plain))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The filled LiveSet of the resource, at `revision` or later. */
export async function currentSet(
  call: Call,
  revision: Revision,
): Promise<SearchableSet<KubeObject>> {
  const { definition, parts, request } = call;
  const filled = parts.live.filled(definition);
  const set = filled ?? parts.live.of(definition);
  // Whoever need not wait does without a signal.
  if (filled === undefined) await set.ready(request.signal);
  if (revision > set.revision) await waitFor(call, revision);
  return set;
}

/** Waits until `revision` exists, for a short while: a client may have heard of it elsewhere. */
async function waitFor(call: Call, revision: Revision): Promise<void> {
  const { definition, parts, request } = call;
  const set = parts.live.of(definition);
  await set.ready(request.signal);
  if (set.revision >= revision) return;
  const over = new AbortController();
  const signal = AbortSignal.any([request.signal, over.signal]);
  const reached = set.reached(revision, signal).then(
    () => true,
    () => false,
  );
  const waited = parts.runtime.clock.sleep(limits.freshnessWaitMs, signal).then(() => false);
  const inTime = await Promise.race([reached, waited]);
  over.abort();
  if (!inTime) throw tooLarge(revision, set.revision);
}

function tooLarge(asked: Revision, current: Revision): ApiError {
  const message = `Too large resource version: ${asked}, current: ${current}`;
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  return new ApiError("Timeout", `Timeout: ${message}`, {
    details: { retryAfterSeconds: 1, causes },
  });
}

async function listFromSet(
  call: Call,
  set: SearchableSet<KubeObject>,
  selection: Selection,
  limit: number,
): Promise<Listed> {
  const { matches } = selection;
  const { revision } = set;
  const candidates = candidatesIn(set, selection);
  const { clock } = call.parts.runtime;
  const found = selection.selects ? await filterInTurns(clock, candidates, matches) : candidates;
  if (limit === 0 || found.length <= limit) {
    return { objects: found, revision, continue: "", remaining: undefined };
  }
  const objects = found.slice(0, limit);
  return {
    objects,
    revision,
    continue: encodeContinue(revision, afterLast(objects)),
    remaining: selection.selects ? undefined : found.length - limit,
  };
}

/** Objects that the selection may mean, in key order. */
export function candidatesIn(
  set: SearchableSet<KubeObject>,
  selection: Selection,
): readonly Stored[] {
  if (selection.key === undefined) return set.search(selection);
  const one = set.get(selection.key);
  return one === undefined ? [] : [one];
}

function afterLast(objects: readonly Stored[]): string {
  return `${objects.at(-1)?.key ?? ""}\0`;
}

interface From {
  /** -1 is the newest, whatever was listed before. */
  readonly revision: Revision;
  /** Where to begin, relative to the resource. */
  readonly start: string;
  readonly limit: number;
}

async function listFromStore(call: Call, selection: Selection, from: From): Promise<Listed> {
  const { definition, parts } = call;
  const root = storagePrefixOf(definition);
  const { end } = prefixRange(`${root}${selection.prefix}`);
  if (!from.start.startsWith(selection.prefix)) throw outside();
  const at = from.revision < 0 ? await parts.store.revision() : from.revision;
  const found: Stored[] = [];
  let start = `${root}${from.start}`;
  for (;;) {
    const page = await readPage(call, { start, end }, at, from, selection.selects);
    const stored = await storedAllFrom(definition, page.entries);
    for (const [index, object] of stored.entries()) {
      if (selection.selects && !selection.matches(object)) continue;
      found.push(object);
      if (from.limit === 0 || found.length < from.limit) continue;
      const left = page.entries.length - index - 1 + page.remaining;
      if (left === 0) break;
      const next = encodeContinue(at, afterLast(found));
      const remaining = selection.selects ? undefined : left;
      return { objects: found, revision: at, continue: next, remaining };
    }
    const last = page.entries.at(-1);
    if (!page.more || last === undefined) {
      return { objects: found, revision: at, continue: "", remaining: undefined };
    }
    start = `${last.key}\0`;
  }
}

async function readPage(call: Call, range: KeyRange, at: Revision, from: From, selects: boolean) {
  const limit =
    selects && from.limit > 0 ? Math.max(from.limit, limits.selectingChunkMin) : from.limit;
  try {
    return await call.parts.store.list(range, { limit, at });
  } catch (error) {
    if (error instanceof FutureRevision) throw tooLarge(at, await call.parts.store.revision());
    if (!(error instanceof Compacted)) throw error;
    const start = range.start.slice(storagePrefixOf(call.definition).length);
    throw call.request.query.get("continue")
      ? new ExpiredContinue(encodeContinue(-1, start))
      : expired(at, error.compactRevision);
  }
}

export function expired(asked: Revision, oldest: Revision): ApiError {
  return new ApiError("Expired", `too old resource version: ${asked} (${oldest})`);
}

function outside(): ApiError {
  return new ApiError("BadRequest", "continue key is not valid: it is not in the listed range");
}

/** 410 with a token that goes on with what is newest. */
class ExpiredContinue extends ApiError {
  constructor(private readonly next: string) {
    super(
      "Expired",
      "The provided continue parameter is too old to display a consistent list result. You can " +
        "start a new list without the continue parameter, or use the continue token in this " +
        "response to retrieve the remainder of the results. Continuing with the provided token " +
        "results in an inconsistent list - objects that were created, modified, or deleted " +
        "between the time the first chunk was returned and now may show up in the list.",
    );
  }

  override toStatus(): StatusObject {
    return { ...super.toStatus(), metadata: { continue: this.next } };
  }
}
