/** UDP has no end of connection: flows to what is gone must be cut by hand. */
import { familyOf } from "../../lib/ip-range.ts";
import type { ServicePortRow, Target } from "./service-ports.ts";

/** `conntrack` argument lists that delete the flows which `after` no longer stands for. */
export function staleFlows(
  rowsBefore: readonly ServicePortRow[],
  rowsAfter: readonly ServicePortRow[],
): readonly (readonly string[])[] {
  const before = rowsBefore.filter(isUdp);
  const after = rowsAfter.filter(isUdp);
  const now = new Map(after.map((row) => [row.id, row]));
  const was = new Map(before.map((row) => [row.id, row]));
  const commands: string[][] = [];
  for (const row of before) {
    if (now.get(row.id) === row) continue;
    const kept = new Set(now.get(row.id)?.all.map(keyOf));
    for (const target of row.all) {
      if (kept.has(keyOf(target))) continue;
      for (const place of places(row)) {
        commands.push([...deleteUdp(row), ...place, "--dst-nat", target.ip]);
      }
    }
  }
  for (const row of after) {
    // Packets sent before there was an endpoint have made a flow to nowhere.
    const wasEmpty = (was.get(row.id)?.all.length ?? 0) === 0;
    if (row.all.length === 0 || !wasEmpty) continue;
    for (const place of places(row)) commands.push([...deleteUdp(row), ...place]);
  }
  return commands;
}

/** The tool looks at flows of IPv4 unless it is told. */
function deleteUdp({ clusterIp }: ServicePortRow): readonly string[] {
  return ["-D", "-f", familyOf(clusterIp).toLowerCase(), "-p", "udp"];
}

function isUdp({ protocol }: ServicePortRow): boolean {
  return protocol === "udp";
}

function places(row: ServicePortRow): readonly (readonly string[])[] {
  const ips = [row.clusterIp, ...row.externalIps];
  const found = ips.map((ip) => ["--orig-dst", ip, "--orig-port-dst", String(row.port)]);
  if (row.nodePort > 0) found.push(["--orig-port-dst", String(row.nodePort)]);
  return found;
}

function keyOf(target: Target): string {
  return `${target.ip}:${target.port}`;
}
