/** The pod resources API: which devices the node has and which containers hold which of them. */
import { Code, ConnectError } from "@connectrpc/connect";
import { PodResourcesLister } from "../../gen/cri/podresources_pb.ts";
import type { Host } from "../../runtime/host.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { ContainerClaim, PodClaims } from "../claims/pod-claims.ts";
import { containersOf, type Pod, uidOf } from "../kubelet/types.ts";
import type { DeviceStore } from "./device-store.ts";
import { serveSocket } from "./socket-server.ts";

export interface PodResourcesOptions {
  readonly host: Host;
  readonly scope: Scope;
  /** /var/lib/kubelet */
  readonly rootDir: string;
  readonly store: DeviceStore;
  readonly claims: Pick<PodClaims, "usedBy">;
  /** Pods that run, or are about to. */
  readonly pods: () => readonly Pod[];
}

export async function servePodResources(options: PodResourcesOptions): Promise<void> {
  const { host, scope, rootDir, store, claims, pods } = options;
  const dir = `${rootDir}/pod-resources`;
  await host.mkdir(dir, 0o750);
  await host.remove(`${dir}/kubelet.sock`);
  const close = await serveSocket(`${dir}/kubelet.sock`, (router) => {
    router.service(PodResourcesLister, {
      list: () => ({ podResources: pods().map((pod) => podResources(pod, store, claims)) }),
      getAllocatableResources: () => ({
        devices: store.resources().flatMap((resource) => {
          const ids = store.devicesOf(resource).filter(({ healthy }) => healthy);
          return containerDevices(
            store,
            resource,
            ids.map(({ id }) => id),
          );
        }),
      }),
      get: ({ podName, podNamespace }) => {
        const pod = pods().find(
          ({ metadata }) => metadata.name === podName && metadata.namespace === podNamespace,
        );
        if (pod !== undefined) return { podResources: podResources(pod, store, claims) };
        throw new ConnectError(
          `pod ${podName} in namespace ${podNamespace} not found`,
          Code.Unknown,
        );
      },
    });
  });
  scope.defer(close);
}

function podResources(pod: Pod, store: DeviceStore, claims: PodResourcesOptions["claims"]) {
  const { name = "", namespace = "" } = pod.metadata;
  const containers = containersOf(pod).filter(
    ({ kind, container }) =>
      kind === "app" || (kind === "init" && container.restartPolicy === "Always"),
  );
  return {
    name,
    namespace,
    containers: containers.map(({ container }) => ({
      name: container.name,
      devices: store
        .held(uidOf(pod), container.name)
        .flatMap(({ resource, ids }) => containerDevices(store, resource, ids)),
      dynamicResources: claims.usedBy(pod, container).map(dynamicResource),
    })),
  };
}

function dynamicResource({ claim }: ContainerClaim) {
  return {
    claimName: claim.name,
    claimNamespace: claim.namespace,
    claimResources: [...claim.drivers].flatMap(([driverName, devices]) =>
      devices.map(({ poolName, deviceName, shareId, cdiDeviceIds }) => ({
        driverName,
        poolName,
        deviceName,
        ...(shareId === undefined ? {} : { shareId }),
        cdiDevices: cdiDeviceIds.map((name) => ({ name })),
      })),
    ),
  };
}

/** One entry for each device, as upstream tells them, with the memory it is close to. */
function containerDevices(store: DeviceStore, resource: string, ids: readonly string[]) {
  return ids.map((id) => {
    const numa = store.devicesOf(resource).find((device) => device.id === id)?.numaNodes ?? [];
    const topology = { nodes: numa.map((node) => ({ ID: BigInt(node) })) };
    return {
      resourceName: resource,
      deviceIds: [id],
      ...(numa.length === 0 ? {} : { topology }),
    };
  });
}
