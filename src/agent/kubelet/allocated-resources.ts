/** The health of what a container was given, as its status tells it. */
import type { ResourceHealth, ResourceStatus } from "../../gen/core-v1.ts";
import { type ContainerClaim, serves } from "../claims/pod-claims.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { type NamedContainer, type Pod, uidOf } from "./types.ts";

type Sources = Pick<KubeletContext, "claims" | "deviceHealth" | "devices">;

/** The devices of plugins and of claims; of those the pod does not name nothing is told. */
export function allocatedResources(
  sources: Sources,
  pod: Pod,
  { container }: NamedContainer,
): readonly ResourceStatus[] {
  const claims = sources.claims.usedBy(pod, container).filter(({ podClaim }) => podClaim !== "");
  const statuses = [
    ...pluginDevices(sources, pod, container.name),
    ...claims.map((claim) => ofClaim(sources, claim)),
  ];
  return statuses.filter(({ resources = [] }) => resources.length > 0);
}

function pluginDevices({ devices }: Sources, pod: Pod, container: string): ResourceStatus[] {
  return devices.store.held(uidOf(pod), container).map(({ resource, ids }) => {
    const known = devices.store.devicesOf(resource);
    const isHealthy = (id: string) => known.find((device) => device.id === id)?.healthy ?? true;
    const resources = ids.map((resourceID) => ({
      resourceID,
      health: isHealthy(resourceID) ? "Healthy" : "Unhealthy",
    }));
    return { name: resource, resources };
  });
}

function ofClaim({ deviceHealth }: Sources, used: ContainerClaim): ResourceStatus {
  const { claim, podClaim, request } = used;
  const resources = new Map<string, ResourceHealth>();
  for (const [driver, devices] of claim.drivers) {
    for (const device of devices.filter((one) => serves(one, request))) {
      const { poolName, deviceName, cdiDeviceIds } = device;
      const resourceID = cdiDeviceIds[0] ?? `${driver}/${poolName}/${deviceName}`;
      const { health, message } = deviceHealth.of(driver, poolName, deviceName);
      const told = message === "" ? {} : { message };
      resources.set(resourceID, { resourceID, health, ...told });
    }
  }
  const name = request === "" ? `claim:${podClaim}` : `claim:${podClaim}/${request}`;
  return { name, resources: [...resources.values()] };
}
