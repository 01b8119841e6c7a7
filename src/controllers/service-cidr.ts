/** Keeps a ServiceCIDR until no IPAddress depends on it, and tells whether it can be used. */
import ipaddr from "ipaddr.js";
import { ipAddresses, serviceCIDRs } from "../client/resources.ts";
import type { ServiceCIDR } from "../gen/networking-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../live/controller.ts";
import { isDeleting, mutable, parseTime, timeNow } from "./objects.ts";

type LiveCidr = DeepReadonly<ServiceCIDR>;

const finalizer = "networking.k8s.io/service-cidr-finalizer";
/** Servers that do not know of the deletion yet may still hand out addresses for so long. */
const deletionGraceMs = 10_000;

function contains(cidr: string, address: string): boolean {
  try {
    const ip = ipaddr.parse(address);
    const [network, bits] = ipaddr.parseCIDR(cidr);
    return ip.kind() === network.kind() && ip.match(network, bits);
  } catch {
    return false; // a name that is no address is in no range
  }
}

/** Creates the ServiceCIDR controller. */
export function createServiceCidrController(context: ControllerContext): Controller {
  const cidrs = context.live.of(serviceCIDRs);
  const reconciler = new CidrReconciler(context);
  const everyOne = () => Array.from(cidrs.list(), ({ key }) => key);
  return {
    name: "service-cidr",
    concurrent: 1,
    watches: [watchRule(serviceCIDRs, everyOne), watchRule(ipAddresses, everyOne)],
    async reconcile(key) {
      const cidr = cidrs.get(key)?.object;
      if (cidr === undefined) return "done";
      if (isDeleting(cidr)) return await reconciler.release(cidr);
      return await reconciler.hold(cidr);
    },
  };
}

class CidrReconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    this.#context = context;
  }

  async hold(cidr: LiveCidr): Promise<Outcome> {
    if (cidr.metadata.finalizers?.includes(finalizer)) {
      await this.#setReady(cidr, "True", "", "Kubernetes Service CIDR is ready");
    } else {
      await this.#setFinalizers(cidr, [...(cidr.metadata.finalizers ?? []), finalizer]);
    }
    return "done";
  }

  async release(cidr: LiveCidr): Promise<Outcome> {
    const finalizers = cidr.metadata.finalizers ?? [];
    if (!finalizers.includes(finalizer)) return "done";
    if (this.#isNeeded(cidr)) {
      const message =
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create " +
        "a new ServiceCIDR";
      await this.#setReady(cidr, "False", "Terminating", message);
      return "done";
    }
    const sinceMs = parseTime(cidr.metadata.deletionTimestamp);
    const leftMs = sinceMs + deletionGraceMs - this.#context.runtime.clock.now().getTime();
    if (leftMs > 0) return { againInMs: leftMs };
    const others = finalizers.filter((name) => name !== finalizer);
    await this.#setFinalizers(cidr, others);
    return "done";
  }

  /** True when an address lies in this range and in no other that stays. */
  #isNeeded(cidr: LiveCidr): boolean {
    const { live } = this.#context;
    const others = Array.from(live.of(serviceCIDRs).list(), ({ object }) => object)
      .filter((other) => other.metadata.name !== cidr.metadata.name && !isDeleting(other))
      .flatMap(({ spec }) => spec?.cidrs ?? []);
    return [...live.of(ipAddresses).list()].some(
      ({ key }) =>
        (cidr.spec?.cidrs ?? []).some((range) => contains(range, key)) &&
        !others.some((range) => contains(range, key)),
    );
  }

  async #setFinalizers(cidr: LiveCidr, finalizers: string[]): Promise<void> {
    const copy = mutable<ServiceCIDR>(cidr);
    copy.metadata.finalizers = finalizers;
    await this.#context.client.update(serviceCIDRs, copy);
  }

  async #setReady(
    cidr: LiveCidr,
    status: "True" | "False",
    reason: string,
    message: string,
  ): Promise<void> {
    const present = cidr.status?.conditions?.find(({ type }) => type === "Ready");
    if (present?.status === status && present.reason === reason) return;
    const lastTransitionTime = timeNow(this.#context.runtime.clock);
    const condition = { type: "Ready", status, reason, message, lastTransitionTime };
    const copy = mutable<ServiceCIDR>(cidr);
    const conditions = (copy.status?.conditions ?? []).filter(({ type }) => type !== "Ready");
    copy.status = { conditions: [...conditions, condition] };
    await this.#context.client.update(serviceCIDRs, copy, { subresource: "status" });
  }
}
