/** Keeps one IPAddress for every cluster IP of a Service (upstream's ClusterIP allocator). */

import ipaddr from "ipaddr.js";
import { ipAddresses, services } from "../client/resources.ts";
import type { Service } from "../gen/core-v1.ts";
import type { IPAddress } from "../gen/networking-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { familyOf } from "../lib/ip-range.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";

const managedBy = "ipallocator.k8s.io";
const byParent = "service of an address";

function addressesOf(service: DeepReadonly<Service> | undefined): readonly string[] {
  if (service === undefined || service.spec.type === "ExternalName") return [];
  // An object's name is the address in its one right spelling, however the Service has it.
  return (service.spec.clusterIPs ?? [])
    .filter((ip) => ipaddr.isValid(ip))
    .map((ip) => ipaddr.parse(ip).toString());
}

/** `namespace/name` of the Service that an address belongs to. */
function parentOf(address: DeepReadonly<IPAddress>): string | undefined {
  const parent = address.spec?.parentRef;
  if (parent?.resource !== "services" || (parent.group ?? "") !== "") return undefined;
  return `${parent.namespace}/${parent.name}`;
}

function wantedAddress(ip: string, namespace: string, name: string): IPAddress {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "IPAddress",
    metadata: {
      name: ip,
      labels: {
        "ipaddress.kubernetes.io/ip-family": familyOf(ip),
        "ipaddress.kubernetes.io/managed-by": managedBy,
      },
    },
    spec: { parentRef: { group: "", resource: "services", namespace, name } },
  };
}

/** Keys are those of services: what is missing is made, what none has any more goes. */
export function createIpAddressController(context: ControllerContext): Controller {
  const { client, live } = context;
  const serviceSet = live.of(services);
  const addressSet = live.of(ipAddresses);
  addressSet.addIndex(byParent, (one) => {
    const parent = parentOf(one);
    return parent === undefined ? [] : [parent];
  });
  return {
    name: "cluster-ip-addresses",
    concurrent: 1,
    watches: [
      watchRule(services, ({ now }) => [now.key]),
      watchRule(ipAddresses, ({ now }) => {
        const parent = parentOf(now.object);
        return parent === undefined ? [] : [parent];
      }),
    ],
    async reconcile(key) {
      const [namespace = "", name = ""] = key.split("/");
      const wanted = new Set(addressesOf(serviceSet.get(key)?.object));
      for (const { object } of [...addressSet.by(byParent, key)]) {
        const { name: ip = "", uid, labels } = object.metadata;
        if (wanted.delete(ip)) continue;
        if (labels?.["ipaddress.kubernetes.io/managed-by"] !== managedBy) continue;
        await ignore(
          "NotFound",
          "Conflict",
        )(
          client.delete(ipAddresses, "", ip, {
            ...(uid === undefined ? {} : { preconditions: { uid } }),
          }),
        );
      }
      for (const ip of wanted) {
        await ignore("AlreadyExists")(
          client.create(ipAddresses, wantedAddress(ip, namespace, name)),
        );
      }
      return "done";
    },
  };
}

/** Failures that mean that someone else was faster. */
function ignore(...reasons: readonly Parameters<typeof isReason>[1][]) {
  return async (work: Promise<unknown>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      if (!reasons.some((reason) => isReason(error, reason))) throw error;
    }
  };
}
