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

const columnWidthMin = 20;
const columnGap = 3;

/** Columns of crictl's width, or as wide as their widest cell; the last one ends where it ends. */
export function tableText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) => {
    const longest = Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0));
    return Math.max(columnWidthMin, longest + columnGap);
  });
  return [heads, ...rows]
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0),
        )
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** `3 minutes ago`, as crictl's library words it: hours are rounded, the rest is cut. */
export function agoText(createdAtNs: bigint, now: Date): string {
  return `${durationText((now.getTime() - Number(createdAtNs / 1_000_000n)) / 1000)} ago`;
}

function durationText(seconds: number): string {
  if (seconds < 1) return "Less than a second";
  if (seconds < 2) return "1 second";
  if (seconds < 60) return `${Math.floor(seconds)} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(seconds / 3600 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(hours / 24);
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 730) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
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

export interface ImageRow {
  readonly name: string;
  readonly tag: string;
  readonly digest: string;
  readonly id: string;
  readonly size: string;
}

/** One row per tag; an image without any is shown by its digest. */
export function imageRows(
  images: readonly Pick<Image, "id" | "repoTags" | "repoDigests" | "size">[],
  shortId: (id: string) => string,
): readonly ImageRow[] {
  return images
    .flatMap(({ id, repoTags, repoDigests, size }) => {
      const [source = "<none>", digest = "<none>"] = (repoDigests[0] ?? "").split("@");
      const rest = {
        digest: digest === "<none>" ? digest : shortId(digest),
        id: shortId(id),
        size: sizeText(size),
      };
      if (repoTags.length === 0) return [{ name: source || "<none>", tag: "<none>", ...rest }];
      return repoTags.map((text) => {
        const at = text.lastIndexOf(":");
        return { name: text.slice(0, at), tag: text.slice(at + 1), ...rest };
      });
    })
    .toSorted((a, b) => `${a.name}:${a.tag}`.localeCompare(`${b.name}:${b.tag}`));
}
