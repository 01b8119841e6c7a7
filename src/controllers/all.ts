/** Every controller that runs in the server. */
import type { Controller, ControllerContext } from "../live/controller.ts";
import { contextAs } from "./acting-as.ts";
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
import { createStatefulSetController } from "./stateful-set/stateful-set.ts";

export interface ControllerOptions extends NamespaceOptions, GarbageOptions, NodeIpamOptions {
  /** PEM of the CA that signs serving certificates, for `kube-root-ca.crt`. */
  readonly rootCa: string;
  /** Act as one's own service account (RBAC applies) or as the client that was given. */
  readonly actAs: "service-accounts" | "given-client";
}

type Row = readonly [account: string, create: (context: ControllerContext) => Controller];

/** All controllers, each with its own identity; whoever runs them uses `runController`. */
export function allControllers(
  context: ControllerContext,
  options: ControllerOptions,
): readonly Controller[] {
  const rows: readonly Row[] = [
    ["deployment-controller", createDeploymentController],
    ["replicaset-controller", createReplicaSetController],
    ["replication-controller", createReplicationControllerController],
    ["daemon-set-controller", createDaemonSetController],
    ["statefulset-controller", createStatefulSetController],
    ["cronjob-controller", createCronJobController],
    ["job-controller", createJobController],
    ["ttl-after-finished-controller", createTtlAfterFinishedController],
    ["namespace-controller", (own) => createNamespaceController(own, options)],
    ["service-account-controller", createServiceAccountController],
    ["root-ca-cert-publisher", (own) => createRootCaPublisher(own, options)],
    ["endpointslice-controller", createEndpointSliceController],
    ["endpoint-controller", createEndpointsController],
    ["generic-garbage-collector", (own) => createGarbageCollector(own, options)],
    ["node-controller", createNodeLifecycleController],
    ["node-controller", (own) => createNodeIpamController(own, options)],
    ["pod-garbage-collector", createPodGarbageCollector],
  ];
  return rows.map(([account, create]) =>
    create(options.actAs === "given-client" ? context : contextAs(context, account)),
  );
}
