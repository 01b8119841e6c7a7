/** The rules of device claims: requests, constraints, configuration. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  DeviceConstraint,
  DeviceRequest,
  DeviceSubRequest,
  ResourceClaimSpec,
  ResourceClaimTemplateSpec,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { subdomainErrors } from "../../lib/names.ts";
import { forbidden, invalid, invalids, notSupported, required } from "../field-errors.ts";
import { validateAnnotations, validateLabels } from "../metadata.ts";
import { validateConfiguration, validateSelectors, validateToleration } from "./configuration.ts";
import { validateList, validateSet } from "./lists.ts";
import {
  type RequestNames,
  requestNamesOf,
  validateFullyQualifiedName,
  validateLabel,
  validateRequestReference,
} from "./names.ts";

/** Upstream's limits of what a claim may ask for. */
export const claimLimits = { requestsMax: 32, configMax: 32 } as const;
const limits = { constraintsMax: 32, alternativesMax: 8 } as const;

const modes = ["All", "ExactCount"];

function validateMode({ allocationMode: mode = "", count = 0 }: Asked, at: string): FieldError[] {
  if (!modes.includes(mode)) return [notSupported(`${at}.allocationMode`, mode, modes)];
  if (mode === "ExactCount" && count <= 0)
    return [invalid(`${at}.count`, count, "must be greater than zero")];
  if (mode === "ExactCount" || count === 0) return [];
  const detail = `must not be specified when allocationMode is '${mode}'`;
  return [invalid(`${at}.count`, count, detail)];
}

type Asked = Pick<
  DeepReadonly<DeviceSubRequest>,
  "allocationMode" | "count" | "deviceClassName" | "selectors" | "tolerations"
>;

function validateAsked(asked: Asked, at: string): FieldError[] {
  const { deviceClassName: name, selectors, tolerations = [] } = asked;
  const field = `${at}.deviceClassName`;
  return [
    ...(name ? invalids(field, name, subdomainErrors(name)) : [required(field)]),
    ...validateSelectors(selectors, `${at}.selectors`),
    ...validateMode(asked, at),
    ...tolerations.flatMap((one, index) => validateToleration(one, `${at}.tolerations[${index}]`)),
  ];
}

const eitherRule = "exactly one of `exactly` or `firstAvailable` is required";

function validateRequest(request: DeepReadonly<DeviceRequest>, at: string): FieldError[] {
  const { name, exactly, firstAvailable = [] } = request;
  const errors = validateLabel(name, `${at}.name`);
  if (exactly === undefined && firstAvailable.length === 0)
    return [...errors, required(at, eitherRule)];
  if (exactly !== undefined && firstAvailable.length > 0)
    return [...errors, invalid(at, null, `${eitherRule}, but multiple fields are set`)];
  if (exactly !== undefined) return [...errors, ...validateAsked(exactly, `${at}.exactly`)];
  const alternatives = validateSet(firstAvailable, limits.alternativesMax, `${at}.firstAvailable`, {
    key: (one) => one.name,
    validate: (one, field) => [
      ...validateLabel(one.name, `${field}.name`),
      ...validateAsked(one, field),
    ],
  });
  return [...errors, ...alternatives];
}

/** The errors of a list of references to requests. */
export function validateReferences(
  requests: readonly string[] | undefined,
  field: string,
  names: RequestNames,
): FieldError[] {
  return validateSet(requests, claimLimits.requestsMax, field, {
    key: (name) => name,
    validate: (name, at) => validateRequestReference(name, at, names),
  });
}

function validateConstraint(
  { requests, matchAttribute, distinctAttribute }: DeepReadonly<DeviceConstraint>,
  at: string,
  names: RequestNames,
): FieldError[] {
  const errors = validateReferences(requests, `${at}.requests`, names);
  if (matchAttribute !== undefined)
    errors.push(...validateFullyQualifiedName(matchAttribute, `${at}.matchAttribute`));
  else if (distinctAttribute !== undefined)
    errors.push(...validateFullyQualifiedName(distinctAttribute, `${at}.distinctAttribute`));
  else {
    const rule = 'exactly one of "matchAttribute" or "distinctAttribute" is required';
    errors.push(required(at, `${rule}, but multiple fields are set`));
  }
  return errors;
}

/** The errors of what a claim, or a template of claims, asks for. */
export function validateClaimSpec(
  spec: DeepReadonly<ResourceClaimSpec> | undefined,
  field: string,
): FieldError[] {
  const devices = spec?.devices ?? {};
  const at = `${field}.devices`;
  const names = requestNamesOf(devices);
  return [
    ...validateSet(devices.requests, claimLimits.requestsMax, `${at}.requests`, {
      key: (request) => request.name,
      validate: validateRequest,
    }),
    ...validateList(devices.constraints, limits.constraintsMax, `${at}.constraints`, (one, where) =>
      validateConstraint(one, where, names),
    ),
    ...validateList(devices.config, claimLimits.configMax, `${at}.config`, (one, where) => [
      ...validateReferences(one.requests, `${where}.requests`, names),
      ...validateConfiguration(one, where),
    ]),
  ];
}

/** Of the metadata of a template only labels and annotations are taken over. */
function validateTemplateMetadata(
  metadata: DeepReadonly<ResourceClaimTemplateSpec>["metadata"] | undefined,
  field: string,
): FieldError[] {
  const { labels, annotations, ...others } = metadata ?? {};
  return [
    ...validateAnnotations(annotations, `${field}.annotations`),
    ...validateLabels(labels, `${field}.labels`),
    ...Object.entries(others)
      .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== 0)
      .map(([key]) => forbidden(`${field}.${key === "uid" ? "uID" : key}`, "cannot be set")),
  ];
}

/** The errors of a template of claims. */
export function validateClaimTemplate(
  spec: DeepReadonly<ResourceClaimTemplateSpec> | undefined,
): FieldError[] {
  return [
    ...validateTemplateMetadata(spec?.metadata, "spec.metadata"),
    ...validateClaimSpec(spec?.spec, "spec.spec"),
  ];
}
