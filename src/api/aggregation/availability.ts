/** Whether the server behind an APIService can be used: the condition Available. */
import { endpointSlices, services } from "../../client/resources.ts";
import type { APIServiceCondition } from "../../gen/apiregistration-v1.ts";
import type { LiveSets } from "../../live/live-set.ts";
import { everyOf, lookUp } from "../admission/look-up.ts";
import type { User } from "../request.ts";
import type { Backends, LiveApiService } from "./backend.ts";

export type Availability = Pick<APIServiceCondition, "status" | "reason" | "message">;

/** What a check has found; `resources` is the server's own list of what it serves. */
export interface Checked {
  readonly availability: Availability;
  readonly resources: readonly unknown[];
}

const limits = { checkMs: 5000 } as const;
/** Who asks: the name under which upstream's aggregator does. */
const aggregator: User = {
  name: "system:kube-aggregator",
  uid: "",
  groups: ["system:masters", "system:authenticated"],
  extra: {},
};

export const localAvailability: Availability = {
  status: "True",
  reason: "Local",
  message: "Local APIServices are always available",
};

function unavailable(reason: string, message: string): Checked {
  return { availability: { status: "False", reason, message }, resources: [] };
}

/** Looks at the Service, its endpoints and the server's own discovery document. */
export async function checkBackend(
  service: LiveApiService,
  backends: Backends,
  live: LiveSets,
): Promise<Checked> {
  const trouble = await serviceTrouble(service, live);
  if (trouble !== undefined) return trouble;
  const path = `/apis/${service.spec.group}/${service.spec.version}`;
  try {
    const request = {
      method: "GET",
      headers: new Headers({ accept: "application/json" }),
      body: null,
      signal: AbortSignal.timeout(limits.checkMs),
    };
    const response = await backends.forward(service, path, request, aggregator);
    const text = await response.text();
    if (!response.ok) {
      return failedCheck(`bad status from https://${path}: ${response.status}`);
    }
    const list = JSON.parse(text) as { readonly resources?: readonly unknown[] };
    return {
      availability: { status: "True", reason: "Passed", message: "all checks passed" },
      resources: list.resources ?? [],
    };
  } catch (error) {
    return failedCheck(error instanceof Error ? error.message : String(error));
  }
}

function failedCheck(why: string): Checked {
  return unavailable(
    "FailedDiscoveryCheck",
    `failing or missing response from the API server: ${why}`,
  );
}

async function serviceTrouble(
  { spec }: LiveApiService,
  live: LiveSets,
): Promise<Checked | undefined> {
  const { namespace = "", name = "", port = 443 } = spec.service ?? {};
  const service = await lookUp(live, services, namespace, name);
  const named = `service/${name} in ${JSON.stringify(namespace)}`;
  if (service === undefined) return unavailable("ServiceNotFound", `${named} is not present`);
  if (service.spec?.type === "ExternalName") return undefined;
  const wanted = service.spec?.ports?.find((one) => one.port === port);
  if (wanted === undefined) {
    return unavailable("ServicePortError", `${named} is not listening on port ${port}`);
  }
  const slices = await everyOf(live, endpointSlices, namespace);
  const hasAddress = slices.some(
    ({ metadata, ports = [], endpoints = [] }) =>
      metadata.labels?.["kubernetes.io/service-name"] === name &&
      (ports ?? []).some((one) => (one.name ?? "") === (wanted.name ?? "")) &&
      (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false),
  );
  if (hasAddress) return undefined;
  const portName = JSON.stringify(wanted.name ?? "");
  const message = `endpoints for ${named} have no addresses with port name ${portName}`;
  return unavailable("MissingEndpoints", message);
}
