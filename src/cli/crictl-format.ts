/** How crictl shows things: tables, ages, sizes, JSON. */
import { ContainerState, type Image, PodSandboxState } from "../gen/cri/api_pb.ts";

export const containerStates: Readonly<Record<ContainerState, string>> = {
  [ContainerState.CONTAINER_CREATED]: "Created",
  [ContainerState.CONTAINER_RUNNING]: "Running",
  [ContainerState.CONTAINER_EXITED]: "Exited",
  [ContainerState.CONTAINER_UNKNOWN]: "Unknown",
};
export const podStates: Readonly<Record<PodSandboxState, string>> = {
  [PodSandboxState.SANDBOX_READY]: "Ready",
  [PodSandboxState.SANDBOX_NOTREADY]: "NotReady",
};

/** Columns as wide as their widest cell; the last one ends where it ends. */
export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const gap = 5;
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [heads, ...rows]
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell.padEnd((widths[column] ?? 0) + gap),
        )
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

const steps: readonly (readonly [seconds: number, word: string])[] = [
  [365 * 86_400, "year"],
  [30 * 86_400, "month"],
  [7 * 86_400, "week"],
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

/** `3 minutes ago`, as crictl's library words it. */
export function agoText(createdAtNs: bigint, now: Date): string {
  const seconds = Math.floor((now.getTime() - Number(createdAtNs / 1_000_000n)) / 1000);
  if (seconds < 1) return "Less than a second ago";
  if (seconds >= 60 && seconds < 120) return "About a minute ago";
  if (seconds >= 3600 && seconds < 7200) return "About an hour ago";
  // A unit is used from two of it on: 13 days are days, 14 are two weeks.
  const step = steps.find(([unit, word]) => seconds >= unit * (isCounted(word) ? 2 : 1));
  const [unit, word] = step ?? [1, "second"];
  const count = Math.floor(seconds / unit);
  return `${count} ${word}${count === 1 ? "" : "s"} ago`;
}

function isCounted(word: string): boolean {
  return word === "week" || word === "month" || word === "year" || word === "day";
}

/** Decimal units with three significant digits: `1.45MB`. */
export function sizeText(bytes: bigint): string {
  let size = Number(bytes);
  const units = ["B", "kB", "MB", "GB", "TB"] as const;
  let at = 0;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  return `${Number(size.toPrecision(3))}${units[at]}`;
}

/** One row per tag; an image without any is shown by its digest. */
export function imageRows(
  images: readonly Pick<Image, "id" | "repoTags" | "repoDigests" | "size">[],
): readonly (readonly string[])[] {
  return images
    .flatMap(({ id, repoTags, repoDigests, size }) => {
      const tail = [id.replace(/^sha256:/, "").slice(0, 13), sizeText(size)];
      if (repoTags.length === 0)
        return [[repoDigests[0]?.split("@")[0] ?? "<none>", "<none>", ...tail]];
      return repoTags.map((tag) => {
        const at = tag.lastIndexOf(":");
        return [tag.slice(0, at), tag.slice(at + 1), ...tail];
      });
    })
    .toSorted((a, b) => `${a[0]}:${a[1]}`.localeCompare(`${b[0]}:${b[1]}`));
}

/** protobuf's JSON: whole numbers of 64 bits are texts. */
export function toJsonText(value: unknown): string {
  const replace = (key: string, item: unknown): unknown => {
    if (key.startsWith("$")) return undefined;
    if (typeof item === "bigint") return String(item);
    return item instanceof Uint8Array ? Buffer.from(item).toString("base64") : item;
  };
  return `${JSON.stringify(value, replace, 2)}\n`;
}
