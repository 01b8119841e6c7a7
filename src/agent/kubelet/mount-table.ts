/** The mounts of the machine as the kernel lists them. */
import type { Runtime } from "../../runtime/runtime.ts";

const tablePath = "/proc/self/mountinfo";

/** Paths that something is mounted on, in the order of mounting. */
export async function mountPoints({ files }: Pick<Runtime, "files">): Promise<readonly string[]> {
  return pointsIn((await files.readText(tablePath)) ?? "");
}

/** Asked for every volume of every pod: mostly there is nothing to take apart. */
export async function isMountPoint(
  { files }: Pick<Runtime, "files">,
  path: string,
): Promise<boolean> {
  const table = (await files.readText(tablePath)) ?? "";
  // The kernel writes spaces and backslashes in octal.
  const written = path.replace(/[ \t\n\\]/g, (sign) => {
    return `\\${sign.charCodeAt(0).toString(8).padStart(3, "0")}`;
  });
  return table.includes(` ${written} `) && pointsIn(table).includes(path);
}

function pointsIn(table: string): readonly string[] {
  const points = table.split("\n").map((line) => line.split(" ")[4] ?? "");
  return points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_all, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
  );
}
