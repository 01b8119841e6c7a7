/** Which pods end when, and how much time they get, when the machine goes down. Pure. */

/** The pods of this priority, up to the next one of the list, get that long. */
export interface ShutdownGrace {
  readonly priority: number;
  readonly seconds: number;
}

export interface ShutdownGroup<Pod> extends ShutdownGrace {
  readonly pods: readonly Pod[];
}

interface Prioritized {
  readonly pod: { readonly spec: { readonly priority?: number } };
}

const priorities = { usual: 0, critical: 2_000_000_000 } as const;

/** What `shutdownGracePeriod` and `shutdownGracePeriodCriticalPods` amount to. */
export function gracesOf(totalMs: number, criticalMs: number): readonly ShutdownGrace[] {
  if (totalMs === 0) return [];
  const seconds = (ms: number): number => Math.floor(ms / 1000);
  return [
    { priority: priorities.usual, seconds: seconds(totalMs - criticalMs) },
    { priority: priorities.critical, seconds: seconds(criticalMs) },
  ];
}

/** Groups that end one after the other, the least important first; empty ones are left out. */
export function shutdownGroups<T extends Prioritized>(
  graces: readonly ShutdownGrace[],
  pods: readonly T[],
): readonly ShutdownGroup<T>[] {
  const sorted = graces.toSorted((a, b) => a.priority - b.priority);
  const lists = sorted.map((grace) => ({ ...grace, pods: [] as T[] }));
  for (const one of pods) {
    const priority = one.pod.spec.priority ?? 0;
    // Below the lowest of the list is with the lowest.
    const group = lists.findLast((list) => list.priority <= priority) ?? lists[0];
    group?.pods.push(one);
  }
  return lists.filter((group) => group.pods.length > 0);
}

/** How long the inhibitor has to hold the shutdown back. */
export function secondsTogether(graces: readonly ShutdownGrace[]): number {
  return graces.reduce((sum, { seconds }) => sum + seconds, 0);
}
