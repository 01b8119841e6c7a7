/** One server per data directory, one node per machine. */
import { holdFileLock } from "../runtime/flock.ts";
import type { ServerOptions } from "./options.ts";
import { StartError } from "./start-error.ts";

/** Throws when another process holds what this one needs; the locks end with the process. */
export function refuseSecondServer({ dataDir, disableAgent }: ServerOptions): void {
  const command = "k3 server";
  hold(command, `${dataDir}/server`, (pid) => `process ${pid} runs a server in ${dataDir} already`);
  if (!disableAgent) refuseSecondNode(command);
}

/** Links, rules and sockets of a node are the machine's, whatever the data directory. */
export function refuseSecondNode(command: string): void {
  hold(command, "/run/k3s", (pid) => `process ${pid} runs a node on this machine already`);
}

function hold(command: string, folder: string, why: (pid: number) => string): void {
  const other = holdFileLock(`${folder}/k3.lock`);
  if (other !== undefined) throw new StartError(`Cannot run ${command}: ${why(other.heldBy)}`);
}
