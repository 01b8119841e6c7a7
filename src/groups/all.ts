/** Every built-in resource, in the order of /apis. */
import type { ResourceDefinition } from "../api/resource-definition.ts";
import { admissionregistration } from "./admissionregistration.ts";
import { apps } from "./apps.ts";
import { autoscalingV1, autoscalingV2 } from "./autoscaling.ts";
import { batch } from "./batch.ts";
import { certificates } from "./certificates.ts";
import { configMap, secret, serviceAccountRow } from "./core/config.ts";
import { event, eventV1 } from "./core/event.ts";
import { namespace } from "./core/namespace.ts";
import { nodeRow } from "./core/node.ts";
import { otherCore } from "./core/other.ts";
import { persistentVolume, persistentVolumeClaim } from "./core/persistent-volume-claim.ts";
import { podRow } from "./core/pod.ts";
import { serviceRow } from "./core/service.ts";
import type { SignToken } from "./core/service-account-token.ts";
import type { ServiceNetwork } from "./core/service-allocation.ts";
import { binding, type ComponentHealth, componentStatusRow } from "./core/virtual.ts";
import { apiextensions, apiregistration } from "./extensions.ts";
import { flowcontrol } from "./flowcontrol.ts";
import { metricsRows } from "./metrics/rows.ts";
import type { UsageSource } from "./metrics/usage.ts";
import { discovery, networking } from "./networking.ts";
import type { NodeConnector } from "./node-connector.ts";
import { lease, podDisruptionBudget, priorityClass, runtimeClass } from "./policy.ts";
import { rbac } from "./rbac.ts";
import { resource } from "./resource.ts";
import { authentication, authorization, type ReviewOptions } from "./reviews.ts";
import { storage } from "./storage.ts";

export interface GroupOptions extends ReviewOptions {
  readonly network: ServiceNetwork;
  readonly nodes: NodeConnector;
  readonly signToken: SignToken;
  /** Tokens of service accounts live no longer, whatever is asked. */
  readonly expirationSecondsMax?: number | undefined;
  /** Absent where resource metrics are not served. */
  readonly usage?: UsageSource | undefined;
  /** Scheduler, controllers and store, for component statuses; none by default. */
  readonly components?: () => Promise<readonly ComponentHealth[]>;
}

/** The resource table of a server. */
export function createGroups(options: GroupOptions): readonly ResourceDefinition[] {
  const { nodes, network, signToken, components = async () => [] } = options;
  return [
    componentStatusRow(components),
    configMap,
    event,
    namespace,
    binding,
    persistentVolumeClaim,
    podRow(nodes),
    secret,
    serviceAccountRow(signToken, options.expirationSecondsMax),
    serviceRow(network, nodes),
    nodeRow(nodes),
    persistentVolume,
    ...otherCore,
    ...apiregistration,
    ...apps,
    eventV1,
    ...authentication(options),
    ...authorization(),
    ...autoscalingV2,
    ...autoscalingV1,
    ...batch,
    ...certificates,
    ...networking,
    podDisruptionBudget,
    ...rbac,
    ...storage,
    ...admissionregistration,
    ...apiextensions,
    priorityClass,
    lease,
    runtimeClass,
    ...discovery,
    ...resource,
    ...flowcontrol,
    ...(options.usage === undefined ? [] : metricsRows(options.usage)),
  ];
}
