/** Enforces network policies on the pods of this node, from before their first packet. */
import { namespaces, networkPolicies, pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { IpFamily } from "../../lib/ip-range.ts";
import type { LiveChange, LiveObject, LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import {
  type PolicyPod,
  type PolicyWorld,
  planPolicies,
  policyTable,
  selects,
} from "./policy-plan.ts";
import { removeTable, TableKeeper } from "./table-keeper.ts";

export interface PolicyContext {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly scope: Scope;
  readonly nodeName: string;
  /** The address families of the cluster's pods. */
  readonly families: readonly IpFamily[];
}

/** What the kubelet asks between a pod's getting its address and its first container. */
export interface PodAdmission {
  /** Resolves when the kernel knows what `pod`, now at `ips`, may do. */
  admit(pod: DeepReadonly<Pod>, ips: readonly string[], signal: AbortSignal): Promise<void>;
}

/** Begins to follow policies; without any there is neither a table nor a look at the pods. */
export function startPolicy(context: PolicyContext): PodAdmission {
  const enforcer = new Enforcer(context);
  context.scope.task("network-policy", (signal) => enforcer.run(signal));
  return enforcer;
}

class Enforcer implements PodAdmission {
  readonly #context: PolicyContext;
  /** One for each family. */
  readonly #keepers: readonly TableKeeper[];
  /** Local pods by uid, with the addresses that their status may not tell yet. */
  readonly #fresh = new Map<string, { pod: DeepReadonly<Pod>; ips: readonly string[] }>();
  readonly #firstPolicy = Promise.withResolvers<void>();
  #isFollowing = false;

  constructor(context: PolicyContext) {
    this.#context = context;
    this.#keepers = context.families.map(
      (family) =>
        new TableKeeper({
          runtime: context.runtime,
          name: policyTable(family),
          plan: () => planPolicies(this.#world(), family),
        }),
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    const { live, scope } = this.#context;
    const policySet = live.of(networkPolicies);
    const follow = policySet.subscribe(() => {
      this.#firstPolicy.resolve();
      this.#ring();
    });
    scope.defer(() => follow[Symbol.dispose]());
    signal.addEventListener("abort", () => this.#firstPolicy.resolve(), { once: true });
    await policySet.ready(signal);
    if ([...policySet.list()].length > 0) this.#firstPolicy.resolve();
    // What an earlier run left would still be enforced.
    else
      for (const family of this.#context.families)
        await removeTable(this.#context.runtime, policyTable(family));
    await this.#firstPolicy.promise;
    if (signal.aborted) return;
    await this.#followPods(signal);
    await Promise.all(this.#keepers.map((keeper) => keeper.run(signal)));
  }

  async admit(pod: DeepReadonly<Pod>, ips: readonly string[], signal: AbortSignal): Promise<void> {
    const { live } = this.#context;
    if (pod.spec.hostNetwork === true) return;
    const policySet = live.of(networkPolicies);
    await policySet.ready(signal);
    const { namespace = "", labels = {} } = pod.metadata;
    const isSelected = [...policySet.list()].some(({ object }) =>
      selects(object, { namespace, labels }),
    );
    if (!isSelected && !this.#isFollowing) return;
    const known = this.#fresh.get(uidOf(pod));
    if (known !== undefined && known.ips.join() === ips.join()) return;
    this.#fresh.set(uidOf(pod), { pod, ips });
    if (isSelected) await Promise.all(this.#keepers.map((keeper) => keeper.settled(signal)));
    else this.#ring();
  }

  #ring(): void {
    for (const keeper of this.#keepers) keeper.ring();
  }

  async #followPods(signal: AbortSignal): Promise<void> {
    const { live, scope } = this.#context;
    const podSet = live.of(pods);
    const namespaceSet = live.of(namespaces);
    const subscriptions = [
      podSet.subscribe((change) => {
        if (change.type === "deleted") this.#fresh.delete(uidOf(change.now.object));
        if (matters(change)) this.#ring();
      }),
      namespaceSet.subscribe(() => this.#ring()),
    ];
    scope.defer(() => {
      for (const subscription of subscriptions) subscription[Symbol.dispose]();
    });
    await Promise.all([podSet.ready(signal), namespaceSet.ready(signal)]);
    this.#isFollowing = true;
  }

  #world(): PolicyWorld {
    const { live } = this.#context;
    const known = new Map([...live.of(pods).list()].map(({ object }) => [uidOf(object), object]));
    const unlisted = [...this.#fresh].filter(([uid]) => !known.has(uid));
    return {
      policies: [...live.of(networkPolicies).list()].map(({ object }) => object),
      pods: [...known.values(), ...unlisted.map(([, { pod }]) => pod)].map((pod) =>
        this.#podOf(pod),
      ),
      namespaces: new Map(
        [...live.of(namespaces).list()].map(({ key, object }) => [
          key,
          object.metadata.labels ?? {},
        ]),
      ),
    };
  }

  #podOf(pod: DeepReadonly<Pod>): PolicyPod {
    const { namespace = "", labels = {} } = pod.metadata;
    const { containers, initContainers = [], nodeName } = pod.spec;
    return {
      namespace,
      labels,
      ips: addressesOf(pod, this.#fresh.get(uidOf(pod))?.ips ?? []),
      isLocal: nodeName === this.#context.nodeName,
      ports: [...containers, ...initContainers].flatMap(({ ports = [] }) =>
        ports.map(({ name = "", protocol = "TCP", containerPort }) => ({
          name,
          protocol,
          port: containerPort,
        })),
      ),
    };
  }
}

function uidOf(pod: DeepReadonly<Pod>): string {
  return pod.metadata.uid ?? "";
}

/** A pod that has ended may have passed its address on to another. */
function addressesOf(pod: DeepReadonly<Pod>, fresh: readonly string[]): readonly string[] {
  const { phase, podIPs = [] } = pod.status ?? {};
  if (pod.spec.hostNetwork === true || phase === "Succeeded" || phase === "Failed") return [];
  const known = podIPs.map(({ ip }) => ip);
  return [...new Set([...known, ...fresh])];
}

/** Of all that happens to pods, policies care for addresses, labels and ends. */
function matters({ type, now, before }: LiveChange<Pod>): boolean {
  if (type !== "modified" || before === undefined) return true;
  const view = ({ object }: LiveObject<Pod>): string =>
    JSON.stringify([object.metadata.labels, addressesOf(object, []), object.spec.nodeName]);
  return view(now) !== view(before);
}
