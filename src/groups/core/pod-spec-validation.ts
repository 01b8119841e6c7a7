/** Rules of a pod spec as a whole. */

import type { FieldError } from "../../api/resource-definition.ts";
import type { PodSpec, Toleration } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isAddress } from "../../lib/ip-range.ts";
import {
  labelErrors,
  labelKeyErrors,
  labelValueErrors,
  searchErrors,
  subdomainErrors,
} from "../../lib/names.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notSupported,
  oneOf,
  required,
  tooLong,
} from "../field-errors.ts";
import { validateLabels } from "../metadata.ts";
import { ipDetail } from "./address-validation.ts";
import { validateAffinity, validateSpread } from "./affinity-validation.ts";
import { validateContainers } from "./container-validation.ts";
import { validateFileVolumes } from "./env-validation.ts";
import { validateEphemeral } from "./ephemeral-validation.ts";
import { validatePodResources, validateResources } from "./resource-requirements.ts";
import { validateHostUsers, validatePodSecurity } from "./security-validation.ts";
import { validateVolumes } from "./volume-validation.ts";

type ReadSpec = DeepReadonly<PodSpec>;

const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

export function validateToleration(toleration: DeepReadonly<Toleration>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { key, operator, value, effect, tolerationSeconds } = toleration;
  if (key) errors.push(...invalids(`${at}.key`, key, labelKeyErrors(key)));
  else if (operator !== "Exists")
    errors.push(
      invalid(
        `${at}.operator`,
        operator ?? "",
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      ),
    );
  if (tolerationSeconds !== undefined && effect !== "NoExecute")
    errors.push(
      invalid(
        `${at}.effect`,
        effect ?? "",
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
      ),
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
          invalid(`${at}.operator`, value, "value must be empty when `operator` is 'Exists'"),
        );
      break;
    case "Lt":
    case "Gt":
      // Upstream tells them here, and only takes them behind a gate.
      errors.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists", "Lt", "Gt"]));
      break;
    default:
      errors.push(...oneOf(`${at}.operator`, operator, ["Equal", "Exists"]));
  }
  if (effect) errors.push(...oneOf(`${at}.effect`, effect, effects));
  return errors;
}

const dnsLimits = { nameserversMax: 3, searchesMax: 32, searchCharactersMax: 2048 } as const;

function validateDns(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const { dnsConfig, dnsPolicy } = spec;
  const at = `${field}.dnsConfig`;
  if (dnsPolicy === "None" && dnsConfig === undefined)
    return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")];
  const { nameservers = [], searches = [], options = [] } = dnsConfig ?? {};
  if (dnsPolicy === "None" && nameservers.length === 0) {
    const detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
    return [required(`${at}.nameservers`, detail)];
  }
  const { nameserversMax, searchesMax, searchCharactersMax } = dnsLimits;
  if (nameservers.length > nameserversMax) {
    const detail = `must not have more than ${nameserversMax} nameservers`;
    errors.push(invalid(`${at}.nameservers`, nameservers, detail));
  }
  nameservers.forEach((address, index) => {
    if (!isAddress(address)) errors.push(invalid(`${at}.nameservers[${index}]`, address, ipDetail));
  });
  if (searches.length > searchesMax) {
    const detail = `must not have more than ${searchesMax} search paths`;
    errors.push(invalid(`${at}.searches`, searches, detail));
  }
  if (searches.join(" ").length > searchCharactersMax) {
    const detail =
      `must not have more than ${searchCharactersMax} characters (including spaces) in the ` +
      "search list";
    errors.push(invalid(`${at}.searches`, searches, detail));
  }
  searches.forEach((search, index) => {
    if (search === ".") return;
    const name = search.replace(/\.$/, "");
    errors.push(...invalids(`${at}.searches[${index}]`, name, searchErrors(name)));
  });
  options.forEach((option, index) => {
    if (!option.name) errors.push(required(`${at}.options[${index}]`, "must not be empty"));
  });
  return errors;
}

function validateName(
  spec: ReadSpec,
  field: string,
  key: "hostname" | "nodeName" | "priorityClassName" | "serviceAccountName" | "subdomain",
  rule: (text: string) => string[],
): FieldError[] {
  const value = spec[key];
  return value ? invalids(`${field}.${key}`, value, rule(value)) : [];
}

function validateHostNamespaces(spec: ReadSpec, field: string, isPod: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.hostPID && spec.shareProcessNamespace)
    errors.push(
      invalid(
        `${field}.securityContext.shareProcessNamespace`,
        spec.shareProcessNamespace,
        "ShareProcessNamespace and HostPID cannot both be enabled",
      ),
    );
  if (!spec.hostNetwork) return errors;
  (spec.containers ?? []).forEach((container, index) => {
    (container.ports ?? []).forEach(({ hostPort, containerPort }, portIndex) => {
      // In a template the port may still be left out: it is filled in when the pod is made.
      if (hostPort === containerPort || (!isPod && !hostPort)) return;
      errors.push(
        invalid(
          `${field}.containers[${index}].ports[${portIndex}].hostPort`,
          hostPort ?? 0,
          "must match `containerPort` when `hostNetwork` is true",
        ),
      );
    });
  });
  return errors;
}

function validateGates(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  (spec.readinessGates ?? []).forEach(({ conditionType }, index) => {
    const at = `${field}.readinessGates[${index}].conditionType`;
    errors.push(...invalids(at, conditionType, labelKeyErrors(conditionType)));
  });
  const gates = new Set<string>();
  (spec.schedulingGates ?? []).forEach(({ name }, index) => {
    const at = `${field}.schedulingGates[${index}]`;
    errors.push(...invalids(at, name, labelKeyErrors(name)));
    if (gates.has(name)) errors.push(duplicate(at, name));
    gates.add(name);
  });
  return errors;
}

function validateHostAliases(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  (spec.hostAliases ?? []).forEach(({ ip, hostnames = [] }, index) => {
    const at = `${field}.hostAliases[${index}]`;
    if (!isAddress(ip ?? "")) errors.push(invalid(`${at}.ip`, ip ?? "", ipDetail));
    hostnames.forEach((name, place) => {
      errors.push(...invalids(`${at}.hostnames[${place}]`, name, subdomainErrors(name)));
    });
  });
  return errors;
}

function validateClaims(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const claims = new Set<string>();
  (spec.resourceClaims ?? []).forEach((claim, index) => {
    const at = `${field}.resourceClaims[${index}]`;
    if (!claim.name) errors.push(required(`${at}.name`));
    else if (claims.has(claim.name)) errors.push(duplicate(`${at}.name`, claim.name));
    else errors.push(...invalids(`${at}.name`, claim.name, labelErrors(claim.name)));
    claims.add(claim.name);
    const { resourceClaimName, resourceClaimTemplateName } = claim;
    const detail =
      "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
    const given = { resourceClaimName, resourceClaimTemplateName };
    const count = Object.values(given).filter((name) => name !== undefined).length;
    if (count === 2) errors.push(invalid(at, claim, detail));
    if (count === 0)
      errors.push(
        invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
      );
    for (const [key, name] of Object.entries(given))
      if (name !== undefined) errors.push(...invalids(`${at}.${key}`, name, subdomainErrors(name)));
  });
  return errors;
}

function validateOs(spec: ReadSpec, field: string): FieldError[] {
  if (!spec.os) return [];
  const systems = ["linux", "windows"];
  if (!spec.os.name) return [required(`${field}.os.name`)];
  return systems.includes(spec.os.name) ? [] : [notSupported(`${field}.os`, spec.os.name, systems)];
}

/** The name that is not to be any other. */
function validateHostnameOverride(spec: ReadSpec, field: string): FieldError[] {
  const { hostnameOverride } = spec;
  if (hostnameOverride === undefined) return [];
  const errors: FieldError[] = [];
  const at = `${field}.hostnameOverride`;
  if (spec.setHostnameAsFQDN)
    errors.push(forbidden(at, "may not be specified when setHostnameAsFQDN is true"));
  if (spec.hostNetwork) errors.push(forbidden(at, "may not be specified when hostNetwork is true"));
  if (hostnameOverride.length > 64) errors.push(tooLong(at, 64));
  return [...errors, ...invalids(at, hostnameOverride, subdomainErrors(hostnameOverride))];
}

/** The errors of a pod spec; `field` is `spec` of a pod, or `spec.template.spec`. */
export function validatePodSpec(spec: ReadSpec, field: string): FieldError[] {
  const { overhead, preemptionPolicy, runtimeClassName } = spec;
  const spread = spec.topologySpreadConstraints ?? [];
  return [
    ...validateVolumes(spec, field),
    ...validateClaims(spec, field),
    ...validateContainers(spec, field),
    ...validateEphemeral(spec, field),
    ...validatePodResources(spec, field),
    ...validateHostNamespaces(spec, field, field === "spec"),
    ...oneOf(`${field}.restartPolicy`, spec.restartPolicy, ["Always", "OnFailure", "Never"]),
    ...oneOf(`${field}.dnsPolicy`, spec.dnsPolicy, dnsPolicies),
    ...validateLabels(spec.nodeSelector, `${field}.nodeSelector`),
    ...validatePodSecurity(spec, field),
    ...validateAffinity(spec.affinity, `${field}.affinity`),
    ...validateDns(spec, field),
    ...validateGates(spec, field),
    ...validateSpread(spread, `${field}.topologySpreadConstraints`),
    ...validateHostUsers(spec, field),
    ...validateHostnameOverride(spec, field),
    ...validateName(spec, field, "serviceAccountName", subdomainErrors),
    ...validateName(spec, field, "nodeName", subdomainErrors),
    ...validateSeconds(spec, field),
    ...validateName(spec, field, "hostname", labelErrors),
    ...validateName(spec, field, "subdomain", labelErrors),
    ...(spec.tolerations ?? []).flatMap((toleration, index) =>
      validateToleration(toleration, `${field}.tolerations[${index}]`),
    ),
    ...validateHostAliases(spec, field),
    ...validateName(spec, field, "priorityClassName", subdomainErrors),
    ...(runtimeClassName === undefined
      ? []
      : invalids(`${field}.runtimeClassName`, runtimeClassName, subdomainErrors(runtimeClassName))),
    ...(preemptionPolicy === undefined
      ? []
      : oneOf(`${field}.preemptionPolicy`, preemptionPolicy, ["PreemptLowerPriority", "Never"])),
    ...(overhead === undefined ? [] : validateResources({ limits: overhead }, `${field}.overhead`)),
    ...validateOs(spec, field),
    ...validateFileVolumes(spec, field),
  ];
}

function validateSeconds(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647))
    errors.push(
      invalid(
        `${field}.activeDeadlineSeconds`,
        deadline,
        "must be between 1 and 2147483647, inclusive",
      ),
    );
  return errors;
}

/** What only a pod itself must fulfil, and templates need not. */
export function validatePodAlone(spec: ReadSpec): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.schedulingGates ?? []).length > 0 && spec.nodeName)
    errors.push(
      forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"),
    );
  if (!spec.serviceAccountName)
    (spec.volumes ?? []).forEach(({ projected }, index) => {
      (projected?.sources ?? []).forEach(({ serviceAccountToken }, place) => {
        if (!serviceAccountToken) return;
        const at = `spec.volumes[${index}].projected.sources[${place}].serviceAccountToken`;
        errors.push(forbidden(at, "must not be specified when serviceAccountName is not set"));
      });
    });
  for (const key of ["containers", "initContainers"] as const)
    (spec[key] ?? []).forEach(({ image }, index) => {
      if (!image || image === image.trim()) return;
      const detail = "must not have leading or trailing whitespace";
      errors.push(invalid(`spec.${key}[${index}].image`, image, detail));
    });
  return errors;
}
