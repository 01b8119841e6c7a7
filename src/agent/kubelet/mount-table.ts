/** The mounts of the machine as the kernel lists them. */
import type { Runtime } from "../../runtime/runtime.ts";

/** Paths that something is mounted on, in the order of mounting. */
export async function mountPoints({ files }: Pick<Runtime, "files">): Promise<readonly string[]> {
  const table = (await files.readText("/proc/self/mountinfo")) ?? "";
  const points = table.split("\n").map((line) => line.split(" ")[4] ?? "");
  // The kernel writes spaces and backslashes in octal.
  return points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_all, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
  );
}

export async function isMountPoint(
  runtime: Pick<Runtime, "files">,
  path: string,
): Promise<boolean> {
  return (await mountPoints(runtime)).includes(path);
}
