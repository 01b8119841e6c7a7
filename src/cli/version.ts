/** `k3 --version`, in the form of K3s. */
import { k3Version, versionInfo } from "../server/version.ts";
import type { CommandContext } from "./command.ts";

export async function runVersion(context: CommandContext): Promise<number> {
  const commit = (versionInfo.gitCommit ?? "unknown").slice(0, 8);
  context.out(`k3 version ${k3Version} (${commit})\nbun version ${Bun.version}\n`);
  return 0;
}
