/** The objects of the Gateway API: custom ones, followed as soon as they are defined. */
import type { Resource } from "../../../client/client.ts";
import {
  gatewayClasses,
  gateways,
  grpcRoutes,
  httpRoutes,
  referenceGrants,
} from "../../../client/gateway-resources.ts";
import { customResourceDefinitions } from "../../../client/resources.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import type { LiveSet, LiveSets } from "../../../live/live-set.ts";
import { gatewayGroup } from "../../../schema/gateway-api.ts";
import type { KubeObject } from "../../../schema/object.ts";
import type { GatewayView } from "./view.ts";

type Objects = Pick<GatewayView, "classes" | "gateways" | "httpRoutes" | "grpcRoutes" | "grants">;

export class GatewaySets implements Disposable {
  readonly #live: LiveSets;
  readonly #onChange: () => void;
  readonly #definitions;
  readonly #sets = new Map<string, LiveSet<KubeObject>>();
  readonly #subscriptions: Disposable[] = [];

  constructor(live: LiveSets, onChange: () => void) {
    this.#live = live;
    this.#onChange = onChange;
    this.#definitions = live.of(customResourceDefinitions);
    const changed = this.#definitions.subscribe(({ now }) => {
      if (now.object.spec.group === gatewayGroup) onChange();
    });
    this.#subscriptions.push(changed);
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.#definitions.ready(signal);
  }

  /** As they are now; those that cannot be followed yet are none. */
  objects(): Objects {
    return {
      classes: this.#list(gatewayClasses),
      gateways: this.#list(gateways),
      httpRoutes: this.#list(httpRoutes),
      grpcRoutes: this.#list(grpcRoutes),
      grants: this.#list(referenceGrants),
    };
  }

  #list<T extends KubeObject>(resource: Resource<T>): readonly DeepReadonly<T>[] {
    const set = this.#setOf(resource);
    return set === undefined ? [] : Array.from(set.list(), ({ object }) => object);
  }

  #setOf<T extends KubeObject>(resource: Resource<T>): LiveSet<T> | undefined {
    const known = this.#sets.get(resource.plural);
    if (known !== undefined) return known as unknown as LiveSet<T>;
    if (!this.#isServed(resource)) return undefined;
    const set = this.#live.of(resource);
    this.#sets.set(resource.plural, set as unknown as LiveSet<KubeObject>);
    this.#subscriptions.push(set.subscribe(this.#onChange));
    return set;
  }

  #isServed({ plural, version }: Resource<KubeObject>): boolean {
    const definition = this.#definitions.get(`${plural}.${gatewayGroup}`)?.object;
    const isEstablished = definition?.status?.conditions?.some(
      ({ type, status }) => type === "Established" && status === "True",
    );
    const served = definition?.spec.versions.find(({ name }) => name === version)?.served;
    return isEstablished === true && served === true;
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }
}
