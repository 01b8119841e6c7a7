/** Counters, gauges and histograms in Prometheus' text format. */

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(labels?: Labels, by?: number): void;
}
export interface Gauge {
  set(labels: Labels, value: number): void;
  add(labels: Labels, by: number): void;
  /** Forgets one series. */
  remove(labels: Labels): void;
}
export interface Histogram {
  observe(labels: Labels, value: number): void;
  /** `observe` for labels that stay the same, where each microsecond counts. */
  bound(labels: Labels): (value: number) => void;
}

export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  /** `buckets` are upper bounds in rising order, without +Inf. */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** A gauge, or counter, whose values are read when asked for. */
  collect(
    name: string,
    help: string,
    read: () => Iterable<readonly [Labels, number]>,
    type?: "counter" | "gauge",
  ): void;
  /** The whole registry in text format 0.0.4. */
  text(): string;
}

/** What Kubernetes uses for request latencies, in seconds. */
export const latencyBuckets: readonly number[] = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
];

interface Family {
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly api: Counter | Gauge | Histogram | undefined;
  lines(name: string): Iterable<string>;
}

export function createMetrics(): Metrics {
  const families = new Map<string, Family>();
  /** Asking twice for one name gives the same family, so that modules need not share it. */
  const family = <T extends Family["api"]>(name: string, make: () => Family): T => {
    let found = families.get(name);
    if (found === undefined) {
      found = make();
      families.set(name, found);
    }
    return found.api as T;
  };
  return {
    counter: (name, help) => family(name, () => valueFamily("counter", help)),
    gauge: (name, help) => family(name, () => valueFamily("gauge", help)),
    histogram: (name, help, buckets) => family(name, () => histogramFamily(help, buckets)),
    collect: (name, help, read, type = "gauge") => {
      families.set(name, {
        help,
        type,
        api: undefined,
        lines: function* () {
          for (const [labels, value] of read()) yield line(name, labelText(labels), value);
        },
      });
    },
    text: () => {
      let text = "";
      for (const name of [...families.keys()].sort()) {
        const found = families.get(name);
        if (found === undefined) continue;
        text += `# HELP ${name} ${escapeHelp(found.help)}\n# TYPE ${name} ${found.type}\n`;
        for (const row of found.lines(name)) text += row;
      }
      return text;
    },
  };
}

function valueFamily(type: "counter" | "gauge", help: string): Family {
  const series = new Map<string, number>();
  const addTo = (labels: Labels, by: number): void => {
    const key = labelText(labels);
    series.set(key, (series.get(key) ?? 0) + by);
  };
  const gauge: Gauge = {
    set: (labels, value) => void series.set(labelText(labels), value),
    add: addTo,
    remove: (labels) => void series.delete(labelText(labels)),
  };
  const counter: Counter = { add: (labels = {}, by = 1) => addTo(labels, by) };
  return {
    help,
    type,
    api: type === "counter" ? counter : gauge,
    lines: function* (name) {
      for (const [labels, value] of series) yield line(name, labels, value);
    },
  };
}

function histogramFamily(help: string, buckets: readonly number[]): Family {
  const series = new Map<string, { counts: number[]; sum: number; count: number }>();
  const seriesOf = (labels: Labels) => {
    const key = labelText(labels);
    let one = series.get(key);
    if (one === undefined) {
      one = { counts: buckets.map(() => 0), sum: 0, count: 0 };
      series.set(key, one);
    }
    return one;
  };
  const add = (one: { counts: number[]; sum: number; count: number }, value: number): void => {
    let at = 0;
    while (at < buckets.length && value > (buckets[at] ?? 0)) at += 1;
    if (at < buckets.length) one.counts[at] = (one.counts[at] ?? 0) + 1;
    one.sum += value;
    one.count += 1;
  };
  const histogram: Histogram = {
    observe: (labels, value) => add(seriesOf(labels), value),
    bound(labels) {
      const one = seriesOf(labels);
      return (value) => add(one, value);
    },
  };
  return {
    help,
    type: "histogram",
    api: histogram,
    lines: function* (name) {
      for (const [labels, { counts, sum, count }] of series) {
        const prefix = labels === "" ? "" : `${labels},`;
        let below = 0;
        for (const [i, bound] of buckets.entries()) {
          below += counts[i] ?? 0;
          yield line(`${name}_bucket`, `${prefix}le="${bound}"`, below);
        }
        yield line(`${name}_bucket`, `${prefix}le="+Inf"`, count);
        yield line(`${name}_sum`, labels, sum);
        yield line(`${name}_count`, labels, count);
      }
    },
  };
}

function line(name: string, labels: string, value: number): string {
  const shown = value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value);
  return labels === "" ? `${name} ${shown}\n` : `${name}{${labels}} ${shown}\n`;
}

/** The texts of labels that are used again and again. */
const labelTexts = new WeakMap<Labels, string>();

/** Also the key of a series, so names are sorted. */
function labelText(labels: Labels): string {
  const known = labelTexts.get(labels);
  if (known !== undefined) return known;
  const names = Object.keys(labels).sort();
  const text = names.map((name) => `${name}="${escapeLabel(labels[name] ?? "")}"`).join(",");
  labelTexts.set(labels, text);
  return text;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function escapeHelp(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
