/** Which process listens on a TCP port of this machine, for who would like to. */
import type { Host } from "../runtime/host.ts";
import type { Files } from "../runtime/runtime.ts";

/** The kernel's number for a socket that listens. */
const listening = "0A";

/** Inodes of the sockets that listen on the port, of the text of /proc/net/tcp or tcp6. */
export function listenersOf(table: string, port: number): readonly string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    return state === listening && local.endsWith(`:${wanted}`) ? [inode] : [];
  });
}

/** "process 123 (nginx)"; undefined when nobody of this machine can be found. */
export async function portOwner(
  host: Pick<Host, "list" | "readLink">,
  files: Pick<Files, "readText">,
  port: number,
): Promise<string | undefined> {
  const read = async (path: string): Promise<string> =>
    (await files.readText(path).catch(() => undefined)) ?? "";
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(read));
  const sockets = new Set(tables.flatMap((one) => listenersOf(one, port)).map(socketLink));
  if (sockets.size === 0) return undefined;
  for (const pid of await host.list("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    // Processes end while they are looked at.
    for (const fd of await host.list(`/proc/${pid}/fd`).catch(() => [])) {
      const link = await host.readLink(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (link === undefined || !sockets.has(link)) continue;
      return `process ${pid} (${(await read(`/proc/${pid}/comm`)).trim()})`;
    }
  }
  return undefined;
}

function socketLink(inode: string): string {
  return `socket:[${inode}]`;
}
