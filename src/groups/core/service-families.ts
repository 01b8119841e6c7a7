/** Which address families a Service has: KEP-563, Kubernetes' dual stack. */

import type { FieldError } from "../../api/resource-definition.ts";
import type { Service } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { familyOf, type IpFamily } from "../../lib/ip-range.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { invalid } from "../field-errors.ts";
import { validateClusterIps } from "./service-validation.ts";

type ReadService = DeepReadonly<Service>;

const policyField = "spec.ipFamilyPolicy";

/**
 * Fills in ipFamilyPolicy and ipFamilies from what was asked for and what the cluster has; a
 * change of the policy adds or drops the second family. Answers what is wrong with the request.
 */
export function fillFamilies(
  service: Service,
  old: ReadService | undefined,
  families: readonly IpFamily[],
): FieldError[] {
  const { spec } = service;
  if (spec.type === "ExternalName") return [];
  if (old !== undefined && keepsPreference(service, old)) return [];
  spec.ipFamilyPolicy ??= old?.spec.ipFamilyPolicy ?? defaultPolicy(service);
  const malformed = validateClusterIps(service);
  if (malformed.length > 0) return malformed;
  const errors = [
    ...(old === undefined ? [] : reduce(service, old)),
    ...tooMany(service),
    ...infer(service, families),
  ];
  if (errors.length > 0) return errors;
  if (isOpenHeadless(service)) {
    completeWith(service, families, ["IPv4", "IPv6"]);
    return [];
  }
  const missing = unserved(service, families);
  if (missing.length === 0) completeWith(service, families, families);
  return missing;
}

/**
 * True for an update that leaves a PreferDualStack Service as it is: one that was made before the
 * cluster had two families gets its second only when it is asked for.
 */
export function keepsPreference({ spec }: ReadService, { spec: before }: ReadService): boolean {
  return (
    spec.type === before.type &&
    spec.type !== "ExternalName" &&
    spec.ipFamilyPolicy === "PreferDualStack" &&
    (before.ipFamilyPolicy ?? "PreferDualStack") === "PreferDualStack" &&
    semanticEqual(spec.clusterIPs ?? [], before.clusterIPs ?? []) &&
    semanticEqual(spec.ipFamilies ?? [], before.ipFamilies ?? [])
  );
}

/** Headless and without a selector: whoever writes its endpoints may use either family. */
function isOpenHeadless({ spec }: ReadService): boolean {
  return spec.clusterIP === "None" && Object.keys(spec.selector ?? {}).length === 0;
}

function defaultPolicy(service: ReadService): string {
  return isOpenHeadless(service) ? "RequireDualStack" : "SingleStack";
}

/** A second family goes only with the policy that has no room for it. */
function reduce({ spec }: Service, { spec: before }: ReadService): FieldError[] {
  const policy = spec.ipFamilyPolicy;
  const pairs = [
    ["clusterIPs", "secondary cluster IP"],
    ["ipFamilies", "secondary IP family"],
  ] as const;
  return pairs.flatMap(([key, what]) => {
    const [now, was] = [spec[key] ?? [], before[key] ?? []];
    if (policy === "SingleStack") {
      if (now.length > 1 && semanticEqual(now, was)) spec[key] = now.slice(0, 1);
      return [];
    }
    if (now.length === 0 || now.length >= was.length) return [];
    return [invalid(policyField, policy, `must be 'SingleStack' to release the ${what}`)];
  });
}

function tooMany({ spec }: ReadService): FieldError[] {
  if (spec.ipFamilyPolicy !== "SingleStack") return [];
  const pairs = [
    [spec.clusterIPs, "cluster IPs"],
    [spec.ipFamilies, "IP families"],
  ] as const;
  return pairs.flatMap(([list = [], what]) => {
    if (list.length !== 2) return [];
    const wanted = "must be 'RequireDualStack' or 'PreferDualStack'";
    const detail = `${wanted} when multiple ${what} are specified`;
    return [invalid(policyField, spec.ipFamilyPolicy, detail)];
  });
}

/** Addresses that were asked for tell their families. */
function infer({ spec }: Service, families: readonly IpFamily[]): FieldError[] {
  const { clusterIPs = [] } = spec;
  if (clusterIPs[0] === "None") return [];
  const known: string[] = [...(spec.ipFamilies ?? [])];
  const errors: FieldError[] = [];
  for (const [index, ip] of clusterIPs.entries()) {
    if (index < (spec.ipFamilies ?? []).length) continue;
    const family = familyOf(ip);
    if (families.includes(family)) known.push(family);
    else {
      const detail = `${family} is not configured on this cluster`;
      errors.push(invalid(`spec.clusterIPs[${index}]`, clusterIPs, detail));
    }
  }
  if (known.length > 0) spec.ipFamilies = known;
  return errors;
}

/** What was asked for but the cluster does not have. */
function unserved({ spec }: ReadService, families: readonly IpFamily[]): FieldError[] {
  const policy = spec.ipFamilyPolicy;
  const detail = "this cluster is not configured for dual-stack services";
  const isShort = policy === "RequireDualStack" && families.length < 2;
  const errors = isShort ? [invalid(policyField, policy, detail)] : [];
  for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
    if (families.some((one) => one === family)) continue;
    errors.push(invalid(`spec.ipFamilies[${index}]`, family, "not configured on this cluster"));
  }
  return errors;
}

/** The cluster's first family unless told, and a second when the policy wants it. */
function completeWith(
  { spec }: Service,
  families: readonly IpFamily[],
  all: readonly IpFamily[],
): void {
  const given = spec.ipFamilies ?? [];
  const first = given.length > 0 ? given : families.slice(0, 1);
  const second = all.find((family) => !first.includes(family));
  const isFull = spec.ipFamilyPolicy === "SingleStack" || first.length > 1 || second === undefined;
  spec.ipFamilies = isFull ? [...first] : [...first, second];
}
