/** Every controller that runs in the server. */
import type { Controller, ControllerContext } from "../live/controller.ts";
import { type ActingContext, contextAs } from "./acting-as.ts";
import { createCronJobController } from "./cron-job.ts";
import { createDaemonSetController } from "./daemon-set/daemon-set.ts";
import { createDeploymentController } from "./deployment/deployment.ts";
import { createEndpointSliceController, createEndpointsController } from "./endpoints/endpoints.ts";
import { createGarbageCollector, type GarbageOptions } from "./garbage/collector.ts";
import { createJobController, createTtlAfterFinishedController } from "./job/job.ts";
import { createNamespaceController, type NamespaceOptions } from "./namespace.ts";
import { createNodeIpamController, type NodeIpamOptions } from "./node/ipam.ts";
import { createNodeLifecycleController } from "./node/lifecycle.ts";
import { createPodGarbageCollector } from "./pod-gc.ts";
import {
  createReplicaSetController,
  createReplicationControllerController,
} from "./replica-set/replica-set.ts";
import { createRootCaPublisher, createServiceAccountController } from "./service-account.ts";
import { createServiceLbController } from "./service-lb/service-lb.ts";
import { createStatefulSetController } from "./stateful-set/stateful-set.ts";

export interface ControllerOptions extends NamespaceOptions, GarbageOptions, NodeIpamOptions {
  /** PEM of the CA that signs serving certificates, for `kube-root-ca.crt`. */
  readonly rootCa: string;
  /** Whether Services of type LoadBalancer get the nodes' addresses. */
  readonly serviceLb: boolean;
}

/** The service account to act as, the source of its events, and what to run. */
type Row = readonly [
  account: string,
  component: string,
  create: (context: ControllerContext) => Controller,
];

/** All controllers, each with its own identity; whoever runs them uses `runController`. */
export function allControllers(
  context: ActingContext,
  options: ControllerOptions,
): readonly Controller[] {
  const rows: readonly Row[] = [
    ["deployment-controller", "deployment-controller", createDeploymentController],
    ["replicaset-controller", "replicaset-controller", createReplicaSetController],
    ["replication-controller", "replication-controller", createReplicationControllerController],
    ["daemon-set-controller", "daemonset-controller", createDaemonSetController],
    ["statefulset-controller", "statefulset-controller", createStatefulSetController],
    ["cronjob-controller", "cronjob-controller", createCronJobController],
    ["job-controller", "job-controller", createJobController],
    [
      "ttl-after-finished-controller",
      "ttl-after-finished-controller",
      createTtlAfterFinishedController,
    ],
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
    ["node-controller", "node-controller", createNodeLifecycleController],
    ["node-controller", "cidrAllocator", (own) => createNodeIpamController(own, options)],
    ["pod-garbage-collector", "pod-garbage-collector", createPodGarbageCollector],
    ...(options.serviceLb
      ? ([["service-controller", "service-lb-controller", createServiceLbController]] as const)
      : []),
  ];
  return rows.map(([account, component, create]) => create(contextAs(context, account, component)));
}
