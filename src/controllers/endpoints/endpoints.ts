/** The EndpointSlice and Endpoints controllers: the addresses behind every Service. */
import { endpointSlices, endpoints, nodes, pods, services } from "../../client/resources.ts";
import type { Endpoints, Pod } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import { labelSelectorOf, matchesLabels, selectorOfMap } from "../../lib/selector.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import type { LiveChange, LiveSet } from "../../live/live-set.ts";
import { isDeleting, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { isNamespaceTerminating } from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import {
  type LiveService,
  managedBy,
  managedByLabel,
  planEndpoints,
  planSlices,
  serviceNameLabel,
} from "./plan.ts";

const byService = "serviceName";

/** Creates the EndpointSlice controller. */
export function createEndpointSliceController(context: ControllerContext): Controller {
  const { client, live } = context;
  const sets = { services: live.of(services), pods: live.of(pods), nodes: live.of(nodes) };
  const slices = live.of(endpointSlices);
  slices.addIndex(byService, ({ metadata }) =>
    metadata.labels?.[managedByLabel] === managedBy
      ? [`${metadata.namespace}/${metadata.labels[serviceNameLabel] ?? ""}`]
      : [],
  );
  const writes = new OwnWrites(client, endpointSlices, slices);
  const zoneOf = (name: string) =>
    sets.nodes.get(name)?.object.metadata.labels?.["topology.kubernetes.io/zone"];
  return {
    name: "endpointslice",
    concurrent: 5,
    watches: [
      watchRule(services, ({ now }) => [now.key]),
      watchRule(pods, (change) => servicesOf(change, sets.services)),
      watchRule(endpointSlices, ({ now }) => {
        const { labels, namespace } = now.object.metadata;
        if (labels?.[managedByLabel] !== managedBy) return [];
        return [`${namespace}/${labels[serviceNameLabel] ?? ""}`];
      }),
    ],
    async reconcile(key, signal) {
      await writes.seen(signal);
      const present = Array.from(slices.by(byService, key), ({ object }) => object).filter(
        (slice) => !writes.isDeleted(slice) && !isDeleting(slice),
      );
      const service = sets.services.get(key)?.object;
      const isServed = service !== undefined && !isDeleting(service) && hasSelector(service);
      if (!isServed) {
        // Slices of a Service that lost its selector stay: they are its user's from then on.
        if (service === undefined) for (const slice of present) await writes.delete(slice);
        return "done";
      }
      const plan = planSlices(service, selectedPods(service, sets.pods), present, zoneOf);
      try {
        for (const slice of plan.create) await writes.create(slice);
      } catch (error) {
        if (isNamespaceTerminating(error)) return "done";
        throw error;
      }
      for (const slice of plan.update) await writes.update(slice);
      for (const slice of plan.delete) await writes.delete(slice);
      return "done";
    },
  };
}

/** Creates the Endpoints controller: the older, single-object form of the same addresses. */
export function createEndpointsController(context: ControllerContext): Controller {
  const { client, live } = context;
  const sets = { services: live.of(services), pods: live.of(pods) };
  const endpointsSet = live.of(endpoints);
  const writes = new OwnWrites(client, endpoints, endpointsSet);
  return {
    name: "endpoints",
    concurrent: 5,
    watches: [
      watchRule(services, ({ now }) => [now.key]),
      watchRule(pods, (change) => servicesOf(change, sets.services)),
      watchRule(endpoints, ({ now }) => [now.key]),
    ],
    async reconcile(key, signal) {
      await writes.seen(signal);
      const service = sets.services.get(key)?.object;
      const present = endpointsSet.get(key)?.object;
      if (service === undefined) {
        const isOurs =
          present?.metadata.labels?.["endpoints.kubernetes.io/managed-by"] ===
          "endpoint-controller";
        if (present !== undefined && isOurs) await writes.delete(present);
        return "done";
      }
      if (isDeleting(service) || !hasSelector(service)) return "done";
      const { labels, subsets } = planEndpoints(service, selectedPods(service, sets.pods));
      if (present === undefined) {
        const { namespace = "", name = "" } = service.metadata;
        try {
          await writes.create({
            apiVersion: "v1",
            kind: "Endpoints",
            metadata: { name, namespace, labels },
            ...(subsets.length === 0 ? {} : { subsets }),
          });
        } catch (error) {
          if (!isNamespaceTerminating(error) && !isReason(error, "AlreadyExists")) throw error;
        }
        return "done";
      }
      const isSame =
        sameJson(present.subsets ?? [], subsets) && sameJson(present.metadata.labels, labels);
      if (isSame) return "done";
      const { subsets: _old, ...copy } = mutable<Endpoints>(present);
      await writes.update({
        ...copy,
        metadata: { ...copy.metadata, labels },
        ...(subsets.length === 0 ? {} : { subsets }),
      });
      return "done";
    },
  };
}

function hasSelector(service: LiveService): boolean {
  if (service.spec.type === "ExternalName") return false;
  return Object.keys(service.spec.selector ?? {}).length > 0;
}

function selectedPods(service: LiveService, podSet: LiveSet<Pod>): LivePod[] {
  const selector = selectorOfMap(service.spec.selector);
  return Array.from(podSet.list(`${service.metadata.namespace}/`), ({ object }) => object).filter(
    (pod) => matchesLabels(selector, pod.metadata.labels),
  );
}

/** Services that select the pod as it is or as it was. */
function servicesOf(
  { now, before }: LiveChange<Pod>,
  serviceSet: LiveSet<import("../../gen/core-v1.ts").Service>,
): string[] {
  const keys: string[] = [];
  const labels = now.object.metadata.labels;
  const former = before?.object.metadata.labels;
  for (const { key, object } of serviceSet.list(`${now.object.metadata.namespace}/`)) {
    if (!hasSelector(object)) continue;
    const selector = labelSelectorOf({ matchLabels: object.spec.selector ?? {} });
    const isSelected = matchesLabels(selector, labels) || matchesLabels(selector, former ?? labels);
    if (isSelected) keys.push(key);
  }
  return keys;
}
