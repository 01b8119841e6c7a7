/** Kernel switches that a node needs, and what they were before: `k3 killall` sets them back. */
import type { IpFamily } from "../../lib/ip-range.ts";
import type { Runtime } from "../../runtime/runtime.ts";

/** As short-lived as the switches themselves: neither survives a reboot. */
export const switchLedger = "/run/k3s/kernel-switches.json";

/** Whether packets that only cross the bridge pass the filters of a family. */
export const bridgeFilter: Readonly<Record<IpFamily, string>> = {
  IPv4: "/proc/sys/net/bridge/bridge-nf-call-iptables",
  IPv6: "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
};

type Switch = readonly [path: string, value: string];
const switches: Readonly<Record<IpFamily, readonly Switch[]>> = {
  IPv4: [
    ["/proc/sys/net/ipv4/ip_forward", "1"],
    // Node ports answer on localhost, as they do with K3s.
    ["/proc/sys/net/ipv4/conf/all/route_localnet", "1"],
    [bridgeFilter.IPv4, "1"],
  ],
  // Links of later get what "default" says.
  IPv6: [
    ["/proc/sys/net/ipv6/conf/all/forwarding", "1"],
    ["/proc/sys/net/ipv6/conf/default/forwarding", "1"],
    [bridgeFilter.IPv6, "1"],
  ],
};

/** Path to what the switch was and what we made of it. */
type Ledger = Readonly<Record<string, { readonly before: string; readonly set: string }>>;

/** Sets what is not as it must be; `ledger` undefined takes no note of it. */
export async function setSwitches(
  runtime: Runtime,
  families: readonly IpFamily[],
  ledger: string | undefined,
): Promise<void> {
  const { files, log } = runtime;
  for (const [path, value] of families.flatMap((family) => switches[family])) {
    try {
      const before = (await files.readText(path))?.trim();
      if (before === value) continue;
      // Noted first: a kill in between leaves a note without effect, not an effect without note.
      if (ledger !== undefined && before !== undefined)
        await note(runtime, ledger, { [path]: { before, set: value } });
      await files.writeInPlace(path, value);
    } catch (error) {
      log.warn(`Cannot set ${path} to ${value}`, { error });
    }
  }
}

async function note(runtime: Runtime, ledger: string, entry: Ledger): Promise<void> {
  await runtime.files.mkdir(ledger.slice(0, ledger.lastIndexOf("/")), 0o711);
  // What was noted first is older than k3: it stays.
  const all = { ...entry, ...(await readLedger(runtime, ledger)) };
  await runtime.files.writeAtomic(ledger, `${JSON.stringify(all, null, 2)}\n`, 0o600);
}

async function readLedger(runtime: Runtime, ledger: string): Promise<Ledger> {
  const text = await runtime.files.readText(ledger);
  return text === undefined ? {} : (JSON.parse(text) as Ledger);
}

/** Sets back what still is as we set it; what somebody changed since is theirs. */
export async function restoreSwitches(runtime: Runtime, ledger: string): Promise<void> {
  const { files, log } = runtime;
  for (const [path, { before, set }] of Object.entries(await readLedger(runtime, ledger))) {
    try {
      if ((await files.readText(path))?.trim() === set) await files.writeInPlace(path, before);
    } catch (error) {
      log.warn(`Cannot set ${path} back to ${before}`, { error });
    }
  }
}
