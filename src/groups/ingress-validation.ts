/** Rules of Ingresses. */

import type { FieldError } from "../api/resource-definition.ts";
import type { HTTPIngressPath, Ingress, IngressBackend } from "../gen/networking-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { isAddress } from "../lib/ip-range.ts";
import { labelErrors, pathSegmentErrors, portNameErrors, subdomainErrors } from "../lib/names.ts";
import { invalid, invalids, notSupported, portNumber, required } from "./field-errors.ts";

const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];
const forbiddenInPaths = ["//", "/./", "/../", "%2f", "%2F"];
const forbiddenEnds = ["/..", "/."];
/** How a class was named before there was a field for it. */
export const classAnnotation = "kubernetes.io/ingress.class";

/** `*.` may stand for one label in front. */
function hostErrors(host: string): string[] {
  if (!host.includes("*")) return subdomainErrors(host);
  const rest = host.replace(/^\*\./, "");
  const isFine = host.startsWith("*.") && !rest.includes("*") && subdomainErrors(rest).length === 0;
  if (isFine) return [];
  const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
  return [
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, " +
      "which must consist of lower case alphanumeric characters, '-' or '.' and end with an " +
      "alphanumeric character (e.g. '*.example.com', regex used for validation is " +
      `'\\*\\.${label}(\\.${label})*')`,
  ];
}

function validateBackend(
  backend: DeepReadonly<IngressBackend> | undefined,
  field: string,
): FieldError[] {
  const { service, resource } = backend ?? {};
  if (service && resource)
    return [invalid(field, "", "cannot set both resource and service backends")];
  if (resource) {
    const { apiGroup, kind, name } = resource;
    const at = `${field}.resource`;
    return [
      ...(apiGroup === undefined
        ? []
        : invalids(`${at}.apiGroup`, apiGroup, subdomainErrors(apiGroup))),
      ...Object.entries({ kind, name }).flatMap(([key, value]) =>
        value
          ? invalids(`${at}.${key}`, value, pathSegmentErrors(value))
          : [required(`${at}.${key}`)],
      ),
    ];
  }
  if (!service) return [invalid(field, "", "resource or service backend is required")];
  const errors = service.name
    ? invalids(`${field}.service.name`, service.name, labelErrors(service.name))
    : [required(`${field}.service.name`)];
  const { name = "", number = 0 } = service.port ?? {};
  const at = `${field}.service.port`;
  if (name !== "" && number !== 0)
    errors.push(invalid(field, "", "cannot set both port name & port number"));
  else if (name !== "") errors.push(...invalids(`${at}.name`, name, portNameErrors(name)));
  else if (number !== 0) errors.push(...portNumber(`${at}.number`, number));
  else errors.push(required(field, "port name or number is required"));
  return errors;
}

function validatePath(path: DeepReadonly<HTTPIngressPath>, field: string): FieldError[] {
  const { pathType, path: text = "", backend } = path;
  if (pathType === undefined) return [required(`${field}.pathType`, "pathType must be specified")];
  const errors: FieldError[] = [];
  const refuse = (detail: string): void => void errors.push(invalid(`${field}.path`, text, detail));
  const isPlain = pathType === "Exact" || pathType === "Prefix";
  if (!pathTypes.includes(pathType))
    errors.push(notSupported(`${field}.pathType`, pathType, pathTypes));
  else if ((isPlain || text !== "") && !text.startsWith("/")) refuse("must be an absolute path");
  if (isPlain) {
    for (const part of forbiddenInPaths)
      if (text.includes(part)) refuse(`must not contain '${part}'`);
    for (const end of forbiddenEnds) if (text.endsWith(end)) refuse(`cannot end with '${end}'`);
  }
  return [...errors, ...validateBackend(backend, `${field}.backend`)];
}

/** The errors of an Ingress. */
export function validateIngress(
  ingress: DeepReadonly<Ingress>,
  old: DeepReadonly<Ingress> | undefined,
): FieldError[] {
  const { rules = [], defaultBackend, tls = [], ingressClassName } = ingress.spec ?? {};
  const errors: FieldError[] = [];
  if (rules.length === 0 && defaultBackend === undefined)
    errors.push(
      invalid(
        "spec",
        ingress.spec?.rules ?? null,
        "either `defaultBackend` or `rules` must be specified",
      ),
    );
  if (defaultBackend) errors.push(...validateBackend(defaultBackend, "spec.defaultBackend"));
  rules.forEach(({ host, http }, index) => {
    const at = `spec.rules[${index}]`;
    if (host && isAddress(host))
      errors.push(invalid(`${at}.host`, host, "must be a DNS name, not an IP address"));
    if (host) errors.push(...invalids(`${at}.host`, host, hostErrors(host)));
    if (!http) return;
    if ((http.paths ?? []).length === 0) errors.push(required(`${at}.http.paths`));
    (http.paths ?? []).forEach((path, place) => {
      errors.push(...validatePath(path, `${at}.http.paths[${place}]`));
    });
  });
  tls.forEach(({ hosts = [], secretName }, index) => {
    const at = `spec.tls[${index}]`;
    hosts.forEach((host, place) => {
      errors.push(...invalids(`${at}.hosts[${place}]`, host, hostErrors(host)));
    });
    if (secretName)
      errors.push(...invalids(`${at}.secretName`, secretName, subdomainErrors(secretName)));
  });
  if (ingressClassName !== undefined)
    errors.push(
      ...invalids("spec.ingressClassName", ingressClassName, subdomainErrors(ingressClassName)),
    );
  const annotated = ingress.metadata.annotations?.[classAnnotation];
  const isOther = annotated !== undefined && annotated !== ingressClassName;
  if (old === undefined && ingressClassName !== undefined && isOther)
    errors.push(
      invalid(
        `annotations.${classAnnotation}`,
        annotated,
        "must match `ingressClassName` when both are specified",
      ),
    );
  return errors;
}
