/** Writes down what was found for a claim: devices, their configuration, where they can be used. */
import type { NodeSelector, NodeSelectorRequirement } from "../../gen/core-v1.ts";
import type {
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceClaimConfiguration,
  DeviceConfiguration,
  DeviceRequestAllocationResult,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Chosen, ClaimResult } from "./allocator.ts";
import { fullName } from "./constraints.ts";
import type { LiveDevice } from "./view.ts";

const copy = <T>(value: DeepReadonly<T>): T => structuredClone(value) as T;

/** The allocation of a claim; `newShare` makes the identity of a share. */
export function allocationOf(
  result: ClaimResult,
  nodeName: string,
  newShare: () => string,
): AllocationResult {
  const config = [...classConfig(result), ...claimConfig(result)];
  const nodeSelector = selectorOf(result.devices, nodeName);
  return {
    devices: {
      results: result.devices.map((chosen) => resultOf(chosen, newShare)),
      ...(config.length === 0 ? {} : { config }),
    },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
  };
}

function resultOf(
  { wanted, candidate, consumed }: Chosen,
  newShare: () => string,
): DeviceRequestAllocationResult {
  const { device, pool } = candidate;
  const { bindingConditions, bindingFailureConditions } = device;
  const { tolerations } = wanted;
  return {
    request: fullName(wanted.name),
    driver: pool.driver,
    pool: pool.name,
    device: device.name,
    ...(wanted.isAdmin ? { adminAccess: true } : {}),
    ...(tolerations.length === 0 ? {} : { tolerations: tolerations.map((one) => ({ ...one })) }),
    ...(bindingConditions === undefined ? {} : { bindingConditions: [...bindingConditions] }),
    ...(bindingFailureConditions === undefined
      ? {}
      : { bindingFailureConditions: [...bindingFailureConditions] }),
    ...(consumed === undefined ? {} : { shareID: newShare() }),
    ...(consumed === undefined || Object.keys(consumed).length === 0
      ? {}
      : { consumedCapacity: { ...consumed } }),
  };
}

/** Each class brings its configuration once, for all requests that are of it. */
function classConfig({ met }: ClaimResult): DeviceAllocationConfiguration[] {
  const requests = Map.groupBy(met, ({ deviceClass }) => deviceClass.metadata.name);
  return [...requests.values()].flatMap((wanted) =>
    (wanted[0]?.deviceClass.spec.config ?? []).map((config) => ({
      ...copy<DeviceConfiguration>(config),
      source: "FromClass",
      requests: wanted.map(({ name }) => fullName(name)),
    })),
  );
}

/** What the claim says about all requests, or about one that was met. */
function claimConfig({ claim, met }: ClaimResult): DeviceAllocationConfiguration[] {
  return (claim.spec?.devices?.config ?? []).flatMap((config) => {
    const { requests = [] } = config;
    const one = {
      ...copy<DeviceClaimConfiguration>(config),
      source: "FromClaim",
    };
    if (requests.length === 0) return [one];
    return met
      .filter(({ name }) => requests.includes(name.request) || requests.includes(fullName(name)))
      .map(() => one);
  });
}

type Placed = Pick<LiveDevice, "nodeName" | "nodeSelector">;

/** Where all of the devices can be used; undefined when that is everywhere. */
function selectorOf(devices: readonly Chosen[], nodeName: string): NodeSelector | undefined {
  const matchFields: NodeSelectorRequirement[] = [];
  const matchExpressions: NodeSelectorRequirement[] = [];
  for (const { candidate } of devices) {
    const { device, slice } = candidate;
    const placed: Placed = slice.spec.perDeviceNodeSelection === true ? device : slice.spec;
    if (placed.nodeName !== undefined || device.bindsToNode === true) return onlyNode(nodeName);
    const [term] = placed.nodeSelector?.nodeSelectorTerms ?? [];
    addNew(matchFields, term?.matchFields);
    addNew(matchExpressions, term?.matchExpressions);
  }
  if (matchFields.length + matchExpressions.length === 0) return undefined;
  return {
    nodeSelectorTerms: [
      {
        ...(matchExpressions.length === 0 ? {} : { matchExpressions }),
        ...(matchFields.length === 0 ? {} : { matchFields }),
      },
    ],
  };
}

function onlyNode(name: string): NodeSelector {
  const matchFields = [{ key: "metadata.name", operator: "In", values: [name] }];
  return { nodeSelectorTerms: [{ matchFields }] };
}

function addNew(
  to: NodeSelectorRequirement[],
  from: readonly DeepReadonly<NodeSelectorRequirement>[] | undefined,
): void {
  const textOf = ({ key, operator, values = [] }: DeepReadonly<NodeSelectorRequirement>): string =>
    JSON.stringify([key, operator, values.toSorted()]);
  for (const one of from ?? [])
    if (!to.some((other) => textOf(other) === textOf(one)))
      to.push(copy<NodeSelectorRequirement>(one));
}
