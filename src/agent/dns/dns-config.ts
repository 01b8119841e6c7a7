/** What ConfigMaps of kube-system add to the DNS: `coredns` (NodeHosts) and `coredns-custom`. */
import { configMaps } from "../../client/resources.ts";
import type { ConfigMap } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { LiveSet, LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { CorefileError } from "./corefile.ts";
import { type Hosts, noHosts, parseHosts } from "./hosts.ts";
import { type CustomZones, noCustomZones, parseCustomZones } from "./zones.ts";

export interface DnsConfig {
  readonly nodeHosts: Hosts;
  readonly custom: CustomZones;
}

export interface DnsConfigOptions {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly events: EventRecorder;
  readonly scope: Scope;
}

const namespace = "kube-system";

/** Follows the ConfigMaps until the scope ends; a wrong one changes nothing and is told. */
export function followDnsConfig(options: DnsConfigOptions): () => DnsConfig {
  const { runtime, live, events, scope } = options;
  let nodeHosts = noHosts;
  let custom = noCustomZones;
  follow(live, "coredns", scope, (object) => {
    nodeHosts = parseHosts(object?.data?.NodeHosts ?? "");
  });
  follow(live, "coredns-custom", scope, (object) => {
    try {
      custom = parseCustomZones(object?.data ?? {});
    } catch (error) {
      if (!(error instanceof CorefileError)) throw error;
      const { message } = error;
      runtime.log.warn("The ConfigMap coredns-custom is not used as it is now", { message });
      if (object !== undefined) events.event(object, "Warning", "InvalidCorefile", message);
    }
  });
  return () => ({ nodeHosts, custom });
}

function follow(
  live: LiveSets,
  name: string,
  scope: Scope,
  onChange: (object: DeepReadonly<ConfigMap> | undefined) => void,
): void {
  const set: LiveSet<ConfigMap> = live.of(configMaps, { fieldSelector: `metadata.name=${name}` });
  const key = `${namespace}/${name}`;
  scope.task(name, async (signal) => {
    await set.ready(signal);
    let seen = set.get(key);
    onChange(seen?.object);
    const following = set.subscribe(({ now, type }) => {
      if (now.key !== key) return;
      const next = type === "deleted" ? undefined : now;
      if (next === seen) return;
      seen = next;
      onChange(next?.object);
    });
    scope.defer(async () => following[Symbol.dispose]());
  });
}
