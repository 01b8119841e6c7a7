/** Runs a controller: wakes its keys by changes, reconciles them, tries failed ones again. */
import type { Resource } from "../client/client.ts";
import { isReason } from "../lib/api-error.ts";
import { AssertionError } from "../lib/assert.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Controller, ControllerContext } from "./controller.ts";
import type { LiveChange } from "./live-set.ts";
import { WorkQueue } from "./work-queue.ts";

/** What running needs of the context; the rest is for the controller itself. */
export type RunContext = Pick<ControllerContext, "live" | "runtime" | "watch" | "queueMetrics">;

/** Resolves when `signal` aborts and all workers have ended; rejects when an assertion fails. */
export async function runController(
  controller: Controller,
  context: RunContext,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const queue = new WorkQueue(context.runtime.clock, both);
  const told = context.queueMetrics?.follow(controller.name, queue);
  const subscriptions: Disposable[] = told === undefined ? [] : [told];
  try {
    for (const rule of controller.watches) {
      const set = context.live.of(rule.resource as Resource<KubeObject>);
      const wake = (change: LiveChange<KubeObject>) => {
        for (const key of rule.keys(change as LiveChange<never>)) queue.add(key);
      };
      subscriptions.push(set.subscribe(wake));
      await set.ready(both);
      for (const now of set.list()) wake({ type: "added", now, before: undefined });
    }
    for (const key of controller.initialKeys ?? []) queue.add(key);
    const workers = Array.from({ length: controller.concurrent }, () =>
      work(controller, context, { queue, begin: () => told?.begin() }, both),
    );
    await Promise.all(workers);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stop.abort();
    for (const subscription of subscriptions) subscription[Symbol.dispose]();
  }
}

async function work(
  controller: Controller,
  context: RunContext,
  { queue, begin }: { readonly queue: WorkQueue; begin(): (() => void) | undefined },
  signal: AbortSignal,
): Promise<void> {
  const log = context.runtime.log.named(controller.name);
  for (;;) {
    const key = await queue.take();
    if (key === undefined) return;
    const measured = begin();
    const ended = context.watch?.begin(`${controller.name} for ${key}`);
    try {
      const outcome = await controller.reconcile(key, signal);
      queue.forget(key);
      if (outcome !== "done") queue.addAfter(key, outcome.againInMs);
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      if (signal.aborted) return;
      // Someone else wrote or deleted first: the retry looks at what is there now.
      const isRace = isReason(error, "Conflict") || isReason(error, "NotFound");
      const fields = { key, error: String(error) };
      log[isRace ? "debug" : "warn"]("reconcile failed, will be tried again", fields);
      queue.addFailed(key);
    } finally {
      queue.done(key);
      ended?.();
      measured?.();
    }
  }
}
