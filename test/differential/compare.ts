/** The smallest description of how two normalised answers differ. */
import { isObject, type Json } from "./client.ts";

export interface Difference {
  /** Where, with indexes. */
  readonly path: string;
  readonly upstream: Json | undefined;
  readonly k3: Json | undefined;
}

/** The first difference is the one to mend; those below a differing kind say nothing. */
export function differences(
  upstream: Json | undefined,
  k3: Json | undefined,
  path = "",
): Difference[] {
  if (Array.isArray(upstream) && Array.isArray(k3)) {
    const length = Math.max(upstream.length, k3.length);
    return Array.from({ length }, (_, index) =>
      differences(upstream[index], k3[index], `${path}[${index}]`),
    ).flat();
  }
  if (isObject(upstream) && isObject(k3)) {
    const names = [...new Set([...Object.keys(upstream), ...Object.keys(k3)])].sort();
    return names.flatMap((name) => differences(upstream[name], k3[name], `${path}.${name}`));
  }
  return Object.is(upstream, k3) ? [] : [{ path, upstream, k3 }];
}

const shownMax = 300;
const sharedMax = 40;

/** The text of a value from `start` on. */
function shown(value: Json | undefined, start = 0): string {
  if (value === undefined) return "absent";
  const text = JSON.stringify(value);
  const end = start + shownMax;
  return (start > 0 ? "…" : "") + text.slice(start, end) + (text.length > end ? "…" : "");
}

/** Long values from a little before where they part. */
export function describeDifference({ path, upstream, k3 }: Difference): string {
  const [one, other] = [upstream, k3].map((value) => JSON.stringify(value) ?? "");
  let shared = 0;
  while (one?.[shared] !== undefined && one[shared] === other?.[shared]) shared++;
  const start = Math.max(0, shared - sharedMax);
  return `  ${path}\n    upstream: ${shown(upstream, start)}\n    k3:       ${shown(k3, start)}`;
}

/** Differences of one cause have one signature: no indexes, no quoted words, no numbers. */
export function signatureOf({ path, upstream, k3 }: Difference): string {
  const general = (text: string): string =>
    text
      .replace(/"[^"]*"/g, '"…"')
      .replace(/\d+/g, "N")
      .slice(0, 160);
  const value = (one: Json | undefined): string =>
    typeof one === "string" ? general(one) : general(shown(one));
  return `${path.replace(/\[\d+\]/g, "[]")}: ${value(upstream)} ≠ ${value(k3)}`;
}
