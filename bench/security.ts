/**
 * What attackers would measure: whether the time of a wrong secret tells how much of it is right,
 * and what requests that are all different leave behind. `K3_REQUESTS` makes it fewer of them.
 */
import { openApp, sendDistinct } from "../src/groups/test-app.ts";
import { sameSecret } from "../src/lib/same-secret.ts";
import type { Bench, Measure } from "./main.ts";

const samples = 1_000_000;
const requests = Number(process.env.K3_REQUESTS ?? 1_000_000);
const warmUp = 20_000;
const perStep = 4;
const MiB = 2 ** 20;

export const securityBench: Bench = {
  name: "security",
  run: async () => [...timing(), ...(await traces())],
};

/** Welch's t of two samples by their sums. */
class Sums {
  #count = 0;
  #sum = 0;
  #squares = 0;

  add(value: number): void {
    this.#count += 1;
    this.#sum += value;
    this.#squares += value * value;
  }

  get mean(): number {
    return this.#sum / this.#count;
  }

  /** Of the mean. */
  get variance(): number {
    return (this.#squares / this.#count - this.mean ** 2) / this.#count;
  }
}

/** A wrong first letter against a wrong last one, taken by turns; slow outliers are left out. */
function timing(): readonly Measure[] {
  const secret = "s".repeat(64);
  const early = `x${secret.slice(1)}`;
  const late = `${secret.slice(1)}x`;
  const sums = { early: new Sums(), late: new Sums() };
  const outlierNs = 20_000;
  for (let index = 0; index < samples; index++)
    for (const [kind, text] of [
      ["early", early],
      ["late", late],
    ] as const) {
      const start = Bun.nanoseconds();
      sameSecret(secret, text);
      const took = Bun.nanoseconds() - start;
      if (index > warmUp && took < outlierNs) sums[kind].add(took);
    }
  const { early: a, late: b } = sums;
  const t = Math.abs(a.mean - b.mean) / Math.sqrt(a.variance + b.variance);
  return [
    { name: "a secret wrong from the start", unit: "ns", runs: [a.mean] },
    { name: "a secret wrong at the end", unit: "ns", runs: [b.mean] },
    { name: "Welch's t of both, 1,000,000 samples each", unit: "", runs: [t], budget: "≤ 4.5" },
  ];
}

function residentMiB(): number {
  Bun.gc(true);
  return process.memoryUsage.rss() / MiB;
}

async function traces(): Promise<readonly Measure[]> {
  await using app = await openApp();
  let index = 0;
  const ask = async (end: number): Promise<void> => {
    for (; index < end / perStep; index++) await sendDistinct(app, index);
  };
  await ask(Math.min(warmUp, requests / 2));
  const before = { metrics: app.metrics.text().length, memory: residentMiB() };
  const start = performance.now();
  await ask(requests);
  const seconds = (performance.now() - start) / 1000;
  const grown = residentMiB() - before.memory;
  const metrics = app.metrics.text().length - before.metrics;
  return [
    { name: "requests that differ in everything", unit: "", runs: [index * perStep] },
    { name: "they took", unit: "s", runs: [seconds] },
    { name: "growth of the metrics", unit: "characters", runs: [metrics], budget: "≤ 2000" },
    { name: "growth of memory", unit: "MiB", runs: [grown], budget: "≤ 64" },
  ];
}
