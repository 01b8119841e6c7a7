/** Rules of conditions, and of the addresses of balancers in statuses. */

import type { FieldError } from "../api/resource-definition.ts";
import type { ServiceSpec, ServiceStatus } from "../gen/core-v1.ts";
import type { Condition } from "../gen/meta-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isAddress } from "../lib/ip-range.ts";
import { labelKeyErrors, subdomainErrors } from "../lib/names.ts";
import { ipDetail } from "./core/address-validation.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  required,
  tooLong,
} from "./field-errors.ts";

const limits = { reasonMax: 1024, messageMax: 32 * 1024 } as const;
const reasonForm = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const isReason = new RegExp(`^${reasonForm}$`);
const reasonRule =
  "a condition reason must start with alphabetic character, optionally followed by a string of " +
  "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. " +
  "'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex " +
  `used for validation is '${reasonForm}')`;
const statuses = ["False", "True", "Unknown"];

function validateCondition(condition: DeepReadonly<Condition>, field: string): FieldError[] {
  const { type, status, observedGeneration = 0, reason, message = "" } = condition;
  const errors = invalids(`${field}.type`, type, labelKeyErrors(type));
  if (!statuses.includes(status)) errors.push(notSupported(`${field}.status`, status, statuses));
  if (observedGeneration < 0)
    errors.push(
      invalid(
        `${field}.observedGeneration`,
        observedGeneration,
        "must be greater than or equal to zero",
      ),
    );
  if (!condition.lastTransitionTime) errors.push(required(`${field}.lastTransitionTime`));
  if (!reason) errors.push(required(`${field}.reason`));
  else if (!isReason.test(reason)) errors.push(invalid(`${field}.reason`, reason, reasonRule));
  if ((reason ?? "").length > limits.reasonMax)
    errors.push(tooLong(`${field}.reason`, limits.reasonMax));
  if (message.length > limits.messageMax)
    errors.push(tooLong(`${field}.message`, limits.messageMax));
  return errors;
}

/** The errors of a list of meta/v1 conditions. */
export function validateConditions(
  conditions: DeepReadonly<Condition[]> | undefined,
  field = "status.conditions",
): FieldError[] {
  const seen = new Set<string>();
  return (conditions ?? []).flatMap((condition, index) => {
    const at = `${field}[${index}]`;
    const { type } = condition;
    const errors = seen.has(type) ? [duplicate(`${at}.type`, type)] : [];
    seen.add(type);
    return [...errors, ...validateCondition(condition, at)];
  });
}

/** The errors of the addresses a balancer has. */
export function validateBalancerStatus(
  spec: DeepReadonly<ServiceSpec> | undefined,
  status: DeepReadonly<ServiceStatus> | undefined,
): FieldError[] {
  const field = "status.loadBalancer.ingress";
  const points = status?.loadBalancer?.ingress ?? [];
  if (spec?.type !== "LoadBalancer" && points.length > 0)
    return [forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")];
  const modes = ["Proxy", "VIP"];
  return points.flatMap(({ ip, ipMode, hostname }, index) => {
    const at = `${field}[${index}]`;
    const errors: FieldError[] = [];
    if (ip && !isAddress(ip)) errors.push(invalid(`${at}.ip`, ip, ipDetail));
    if (ipMode === undefined) {
      if (ip) errors.push(required(`${at}.ipMode`, "must be specified when `ip` is set"));
    } else if (!ip)
      errors.push(forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set"));
    else if (!modes.includes(ipMode)) errors.push(notSupported(`${at}.ipMode`, ipMode, modes));
    if (!hostname) return errors;
    errors.push(...invalids(`${at}.hostname`, hostname, subdomainErrors(hostname)));
    if (isAddress(hostname))
      errors.push(invalid(`${at}.hostname`, hostname, "must be a DNS name, not an IP address"));
    return errors;
  });
}
