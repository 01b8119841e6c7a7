/** Every controller that runs in the server. */
import type { Controller, ControllerContext } from "../live/controller.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { type ActingContext, contextAs } from "./acting-as.ts";
import { createPolicyTypeChecker } from "./admission-policies/type-checker.ts";
import { createAutoscalerController } from "./autoscaler/autoscaler.ts";
import { createClusterRoleAggregationController } from "./cluster-role-aggregation.ts";
import { createCronJobController } from "./cron-job.ts";
import { createDaemonSetController } from "./daemon-set/daemon-set.ts";
import { createDeploymentController } from "./deployment/deployment.ts";
import { createDeviceTaintEvictionController } from "./device-taint-eviction.ts";
import {
  createDisruptionController,
  createStaleDisruptionController,
} from "./disruption/disruption.ts";
import { createEndpointSliceController, createEndpointsController } from "./endpoints/endpoints.ts";
import { createEndpointSliceMirroringController } from "./endpoints/mirroring.ts";
import { createGarbageCollector, type GarbageOptions } from "./garbage/collector.ts";
import { createIngressStatusController } from "./ingress-status.ts";
import { createJobController, createTtlAfterFinishedController } from "./job/job.ts";
import { createNamespaceController, type NamespaceOptions } from "./namespace.ts";
import { createNodeIpamController, type NodeIpamOptions } from "./node/ipam.ts";
import { createNodeLifecycleController } from "./node/lifecycle.ts";
import { createTtlController } from "./node/ttl.ts";
import { createPodGarbageCollector } from "./pod-gc.ts";
import {
  createReplicaSetController,
  createReplicationControllerController,
} from "./replica-set/replica-set.ts";
import { createResourceClaimController } from "./resource-claim/resource-claim.ts";
import { createResourceQuotaController, type QuotaOptions } from "./resource-quota.ts";
import { createRootCaPublisher, createServiceAccountController } from "./service-account.ts";
import { createServiceCidrController } from "./service-cidr.ts";
import { createServiceLbController } from "./service-lb/service-lb.ts";
import { createStatefulSetController } from "./stateful-set/stateful-set.ts";
import { createAttachDetachController } from "./volume/attach-detach.ts";
import { createVolumeBinder } from "./volume/binder.ts";
import { createEphemeralVolumeController } from "./volume/ephemeral.ts";
import { createExpandController } from "./volume/expand.ts";
import {
  createAttributesClassProtectionController,
  createClaimProtectionController,
  createVolumeProtectionController,
} from "./volume/protection.ts";

export interface ControllerOptions
  extends NamespaceOptions,
    GarbageOptions,
    NodeIpamOptions,
    QuotaOptions {
  /** PEM of the CA that signs serving certificates, for `kube-root-ca.crt`. */
  readonly rootCa: string;
  readonly metrics: Metrics;
  /** Whether Services of type LoadBalancer get the nodes' addresses. */
  readonly serviceLb: boolean;
  /** Whether Ingresses are served here, by the account `traefik`. */
  readonly servesIngress: boolean;
  /** Whether nodes get their part of `clusterCidr`; some networks give them addresses. */
  readonly allocatesNodeCidrs: boolean;
}

/** The service account to act as, the source of its events, and what to run. */
type Row = readonly [
  account: string,
  component: string,
  create: (context: ControllerContext) => Controller,
];

function ipamRow(options: NodeIpamOptions): Row {
  return ["node-controller", "cidrAllocator", (own) => createNodeIpamController(own, options)];
}

function workloadRows({ metrics }: ControllerOptions): readonly Row[] {
  return [
    ["deployment-controller", "deployment-controller", createDeploymentController],
    ["replicaset-controller", "replicaset-controller", createReplicaSetController],
    ["replication-controller", "replication-controller", createReplicationControllerController],
    ["daemon-set-controller", "daemonset-controller", createDaemonSetController],
    ["statefulset-controller", "statefulset-controller", createStatefulSetController],
    ["cronjob-controller", "cronjob-controller", (own) => createCronJobController(own, metrics)],
    ["job-controller", "job-controller", (own) => createJobController(own, metrics)],
    [
      "ttl-after-finished-controller",
      "ttl-after-finished-controller",
      createTtlAfterFinishedController,
    ],
  ];
}

const volumeRows: readonly Row[] = [
  ["persistent-volume-binder", "persistentvolume-controller", createVolumeBinder],
  ["pvc-protection-controller", "pvc-protection-controller", createClaimProtectionController],
  ["pv-protection-controller", "pv-protection-controller", createVolumeProtectionController],
  [
    "volumeattributesclass-protection-controller",
    "volumeattributesclass-protection-controller",
    createAttributesClassProtectionController,
  ],
  ["ephemeral-volume-controller", "ephemeral_volume", createEphemeralVolumeController],
  ["expand-controller", "volume_expand", createExpandController],
  ["attachdetach-controller", "attachdetach-controller", createAttachDetachController],
];

function deviceRows({ metrics }: ControllerOptions): readonly Row[] {
  return [
    [
      "device-taint-eviction-controller",
      "device_taint_eviction_controller",
      (own) => createDeviceTaintEvictionController(own, metrics),
    ],
    [
      "resource-claim-controller",
      "resource_claim",
      (own) => createResourceClaimController(own, metrics),
    ],
  ];
}

function clusterRows(options: ControllerOptions): readonly Row[] {
  return [
    [
      "namespace-controller",
      "namespace-controller",
      (own) => createNamespaceController(own, options),
    ],
    ["service-account-controller", "service-account-controller", createServiceAccountController],
    [
      "root-ca-cert-publisher",
      "root-ca-cert-publisher",
      (own) => createRootCaPublisher(own, options),
    ],
    ["endpointslice-controller", "endpoint-slice-controller", createEndpointSliceController],
    ["endpoint-controller", "endpoint-controller", createEndpointsController],
    [
      "generic-garbage-collector",
      "garbage-collector-controller",
      (own) => createGarbageCollector(own, options),
    ],
    [
      "node-controller",
      "node-controller",
      (own) => createNodeLifecycleController(own, options.metrics),
    ],
    ...(options.allocatesNodeCidrs ? [ipamRow(options)] : []),
    ["ttl-controller", "ttl-controller", createTtlController],
    ["pod-garbage-collector", "pod-garbage-collector", createPodGarbageCollector],
    ...(options.servesIngress
      ? ([["traefik", "ingress-controller", createIngressStatusController]] as const)
      : []),
    ...(options.serviceLb
      ? ([["service-controller", "service-lb-controller", createServiceLbController]] as const)
      : []),
    [
      "disruption-controller",
      "controllermanager",
      (own) => createDisruptionController(own, options),
    ],
    ["disruption-controller", "controllermanager", createStaleDisruptionController],
    [
      "horizontal-pod-autoscaler",
      "horizontal-pod-autoscaler",
      (own) => createAutoscalerController(own, options),
    ],
    [
      "clusterrole-aggregation-controller",
      "clusterrole-aggregation-controller",
      createClusterRoleAggregationController,
    ],
    [
      "endpointslicemirroring-controller",
      "endpoint-slice-mirroring-controller",
      createEndpointSliceMirroringController,
    ],
    [
      "resourcequota-controller",
      "resourcequota-controller",
      (own) => createResourceQuotaController(own, options),
    ],
    ["service-cidrs-controller", "service-cidr-controller", createServiceCidrController],
    [
      "validatingadmissionpolicy-status-controller",
      "validatingadmissionpolicy-status-controller",
      createPolicyTypeChecker,
    ],
  ];
}

/** All controllers, each with its own identity; whoever runs them uses `runController`. */
export function allControllers(
  context: ActingContext,
  options: ControllerOptions,
): readonly Controller[] {
  const own = [...clusterRows(options), ...deviceRows(options)];
  const rows = [...workloadRows(options), ...own, ...volumeRows];
  return rows.map(([account, component, create]) => create(contextAs(context, account, component)));
}
