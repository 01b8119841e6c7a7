/** Rules of a pod spec as a whole. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { PodSpec, Toleration, TopologySpreadConstraint } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, labelKeyErrors, labelValueErrors, subdomainErrors } from "../../lib/names.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  nonNegativeDetail,
  oneOf,
  required,
} from "../field-errors.ts";
import { validateLabels } from "../metadata.ts";
import { validateContainers } from "./container-validation.ts";
import { validateVolumes } from "./volume-validation.ts";

type ReadSpec = DeepReadonly<PodSpec>;

const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateToleration(toleration: DeepReadonly<Toleration>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  if (key) errors.push(...invalids(`${at}.key`, key, labelKeyErrors(key)));
  else if (operator !== "Exists")
    errors.push(
      invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    );
  if (tolerationSeconds !== undefined && effect !== "NoExecute")
    errors.push(
      invalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"),
    );
  switch (operator) {
    case "Equal":
    case "":
    case undefined:
      errors.push(...invalids(`${at}.operator`, value ?? "", labelValueErrors(value ?? "")));
      break;
    case "Exists":
      if (value)
        errors.push(
          invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'"),
        );
      break;
    default:
      errors.push(...oneOf(`${at}.operator`, operator, ["Equal", "Exists"]));
  }
  if (effect) errors.push(...oneOf(`${at}.effect`, effect, effects));
  return errors;
}

function validateSpread(
  constraints: readonly DeepReadonly<TopologySpreadConstraint>[],
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  constraints.forEach((constraint, index) => {
    const at = `${field}[${index}]`;
    if ((constraint.maxSkew ?? 0) <= 0)
      errors.push(invalid(`${at}.maxSkew`, constraint.maxSkew ?? 0, "must be greater than zero"));
    if (!constraint.topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    errors.push(
      ...oneOf(`${at}.whenUnsatisfiable`, constraint.whenUnsatisfiable, [
        "DoNotSchedule",
        "ScheduleAnyway",
      ]),
    );
    const pair = `{${constraint.topologyKey}, ${constraint.whenUnsatisfiable}}`;
    if (seen.has(pair)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair));
    seen.add(pair);
  });
  return errors;
}

function validateDns(spec: ReadSpec, field: string): FieldError[] {
  const errors = oneOf(`${field}.dnsPolicy`, spec.dnsPolicy, dnsPolicies);
  const servers = spec.dnsConfig?.nameservers ?? [];
  if (spec.dnsPolicy === "None" && spec.dnsConfig === undefined)
    errors.push(
      required(`${field}.dnsConfig`, "must provide `dnsConfig` when `dnsPolicy` is None"),
    );
  else if (spec.dnsPolicy === "None" && servers.length === 0)
    errors.push(
      required(
        `${field}.dnsConfig.nameservers`,
        "must provide at least one DNS nameserver when `dnsPolicy` is None",
      ),
    );
  if (servers.length > 3)
    errors.push(
      invalid(`${field}.dnsConfig.nameservers`, servers, "must not have more than 3 nameservers"),
    );
  return errors;
}

function validateIdentity(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = (key: string, value: string | undefined, rule: (text: string) => string[]): void => {
    if (value) errors.push(...invalids(`${field}.${key}`, value, rule(value)));
  };
  name("nodeName", spec.nodeName, subdomainErrors);
  name("serviceAccountName", spec.serviceAccountName, subdomainErrors);
  name("hostname", spec.hostname, labelErrors);
  name("subdomain", spec.subdomain, labelErrors);
  name("priorityClassName", spec.priorityClassName, subdomainErrors);
  name("runtimeClassName", spec.runtimeClassName, subdomainErrors);
  name("schedulerName", spec.schedulerName, labelKeyErrors);
  return errors;
}

function validateHostNamespaces(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.hostPID && spec.shareProcessNamespace)
    errors.push(
      invalid(
        `${field}.shareProcessNamespace`,
        spec.shareProcessNamespace,
        "ShareProcessNamespace and HostPID cannot both be enabled",
      ),
    );
  if (!spec.hostNetwork) return errors;
  (spec.containers ?? []).forEach((container, index) => {
    (container.ports ?? []).forEach((port, portIndex) => {
      if (port.hostPort !== port.containerPort)
        errors.push(
          invalid(
            `${field}.containers[${index}].ports[${portIndex}].hostPort`,
            port.hostPort,
            "must match `containerPort` when `hostNetwork` is true",
          ),
        );
    });
  });
  return errors;
}

/** The errors of a pod spec; `field` is `spec` or `spec.template.spec`. */
export function validatePodSpec(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  errors.push(...validateVolumes(spec, field), ...validateContainers(spec, field));
  errors.push(
    ...oneOf(`${field}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]),
  );
  errors.push(...validateDns(spec, field));
  if (spec.nodeSelector) errors.push(...validateLabels(spec.nodeSelector, `${field}.nodeSelector`));
  errors.push(...validateIdentity(spec, field), ...validateHostNamespaces(spec, field));
  (spec.tolerations ?? []).forEach((toleration, index) => {
    errors.push(...validateToleration(toleration, `${field}.tolerations[${index}]`));
  });
  errors.push(
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${field}.topologySpreadConstraints`),
  );
  const grace = spec.terminationGracePeriodSeconds;
  if (grace !== undefined && grace < 0)
    errors.push(invalid(`${field}.terminationGracePeriodSeconds`, grace, nonNegativeDetail));
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647))
    errors.push(
      invalid(
        `${field}.activeDeadlineSeconds`,
        deadline,
        "must be between 1 and 2147483647, inclusive",
      ),
    );
  if ((spec.schedulingGates ?? []).length > 0 && spec.nodeName)
    errors.push(
      forbidden(`${field}.nodeName`, "cannot be set until all schedulingGates have been cleared"),
    );
  return errors;
}
