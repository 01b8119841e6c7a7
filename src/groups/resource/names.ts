/** Names of resource.k8s.io: pools, attributes, requests and what refers to them, shares. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { DeviceClaim } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, labelKeyErrors, subdomainErrors } from "../../lib/names.ts";
import { validateDriverName } from "../core/volume-source.ts";
import { invalid, invalids, required, tooLong } from "../field-errors.ts";

const limits = { poolNameBytesMax: 253, idBytesMax: 32 } as const;

export function validatePoolName(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const errors =
    name.length > limits.poolNameBytesMax ? [tooLong(field, limits.poolNameBytesMax)] : [];
  for (const part of name.split("/")) errors.push(...invalids(field, part, subdomainErrors(part)));
  return errors;
}

export function validateLabel(name: string | undefined, field: string): FieldError[] {
  return invalids(field, name ?? "", labelErrors(name ?? ""));
}

export function validateLabelKey(name: string | undefined, field: string): FieldError[] {
  return invalids(field, name ?? "", labelKeyErrors(name ?? ""));
}

export function validateNodeName(name: string, field: string): FieldError[] {
  return invalids(field, name, subdomainErrors(name));
}

const identifier = "[A-Za-z_][A-Za-z0-9_]*";
const isIdentifier = new RegExp(`^${identifier}$`);
const identifierRule =
  "a valid C identifier must start with alphabetic character or '_', followed by a string of " +
  "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for " +
  `validation is '${identifier}')`;

function validateIdentifier(id: string, field: string): FieldError[] {
  const errors = id.length > limits.idBytesMax ? [tooLong(field, limits.idBytesMax)] : [];
  if (!isIdentifier.test(id)) errors.push(invalid(field, id, identifierRule));
  return errors;
}

/** Names of attributes and capacities; upstream lets those with two slashes pass. */
export function validateQualifiedName(name: string, field: string): FieldError[] {
  const [first = "", second, ...more] = name.split("/");
  if (second === undefined) return validateIdentifier(first, field);
  if (more.length > 0) return [];
  return [
    ...(first === ""
      ? [invalid(field, "", "the domain must not be empty")]
      : validateDriverName(first, field)),
    ...(second === ""
      ? [invalid(field, "", "the name must not be empty")]
      : validateIdentifier(second, field)),
  ];
}

export function validateFullyQualifiedName(name: string, field: string): FieldError[] {
  const errors = validateQualifiedName(name, field);
  if (name.includes("/")) return errors;
  const rule = "a fully qualified name must be a domain and a name separated by a slash";
  return [...errors, invalid(field, name, rule)];
}

/** The names of a claim's requests, each with those of its alternatives. */
export type RequestNames = ReadonlyMap<string, ReadonlySet<string>>;

export function requestNamesOf(claim: DeepReadonly<DeviceClaim> | undefined): RequestNames {
  const requests = claim?.requests ?? [];
  return new Map(
    requests.map(({ name, firstAvailable = [] }) => [
      name,
      new Set(firstAvailable.map((one) => one.name)),
    ]),
  );
}

const referenceRule =
  "must be the name of a request in the claim or the name of a request and a subrequest " +
  "separated by '/'";

/** A reference to a request, or to one of its alternatives: `gpu`, `gpu/large`. */
export function validateRequestReference(
  name: string,
  field: string,
  names: RequestNames,
): FieldError[] {
  const segments = name.split("/");
  if (segments.length > 2) return [invalid(field, name, referenceRule)];
  const errors = segments.flatMap((segment) => validateLabel(segment, field));
  const [request = "", alternative] = segments;
  const alternatives = names.get(request);
  const isKnown =
    alternatives !== undefined && (alternative === undefined || alternatives.has(alternative));
  return isKnown ? errors : [...errors, invalid(field, name, referenceRule)];
}

const uuid = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** The identity of one share of a device. */
export function validateShareId(id: string | undefined, field: string): FieldError[] {
  if (id === undefined || uuid.test(id)) return [];
  const isOtherForm = uuid.test(id.toLowerCase().replace(/^urn:uuid:|^\{|\}$/g, ""));
  const isBare = /^[0-9a-fA-F]{32}$/.test(id);
  const why =
    isOtherForm || isBare
      ? "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with " +
        "lowercase hexadecimal characters"
      : `error validating uid: ${uuidProblem(id)}`;
  return [invalid(field, id, why)];
}

/** As upstream's library says it: lengths of the forms that there are. */
function uuidProblem(id: string): string {
  const isKnownLength = [32, 36, 38, 45].includes(id.length);
  return isKnownLength ? "invalid UUID format" : `invalid UUID length: ${id.length}`;
}
