/** What may be wrong with a CustomResourceDefinition. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { label1035Errors, subdomainErrors } from "../../lib/names.ts";
import { webhookClientErrors } from "../admission-rule-validation.ts";
import { forbidden, invalid, oneOf, required } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { approvalErrors } from "./approval.ts";
import { sharedErrors, versionsErrors } from "./definition-versions.ts";
import { isEstablished } from "./established.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;
type Names = DeepReadonly<Partial<CustomResourceDefinitionNames>>;

/** The errors of a definition; `old` is what is stored. */
export function validateDefinition(crd: Crd, old: Crd | undefined): readonly FieldError[] {
  const { group, names, scope, preserveUnknownFields } = crd.spec;
  const errors: FieldError[] = [];
  for (const key of old === undefined ? (["generateName", "name"] as const) : []) {
    const given = crd.metadata[key];
    if (given && given !== `${names?.plural}.${group}`)
      errors.push(invalid(`metadata.${key}`, given, `must be spec.names.plural+"."+spec.group`));
  }
  errors.push(...groupErrors(group), ...oneOf("spec.scope", scope, ["Cluster", "Namespaced"]));
  errors.push(...versionsErrors(crd, old), ...requiredNames(names));
  errors.push(...namesErrors(names ?? {}, "spec.names"));
  errors.push(...sharedErrors(crd, old), ...conversionErrors(crd));
  errors.push(...storedVersionsErrors(crd), ...approvalErrors(crd, old));
  if (preserveUnknownFields === true && old?.spec.preserveUnknownFields !== true) {
    const detail =
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in " +
      "spec.versions[*].schema instead";
    errors.push(invalid("spec.preserveUnknownFields", true, detail));
  }
  return old === undefined ? errors : [...errors, ...immutableErrors(crd, old)];
}

function immutableErrors(crd: Crd, old: Crd): FieldError[] {
  const { group, names, scope } = crd.spec;
  const isFixed = isEstablished(old);
  return [
    ...(isFixed ? validateImmutable(scope, old.spec.scope, "spec.scope") : []),
    ...(isFixed ? validateImmutable(names?.kind, old.spec.names.kind, "spec.names.kind") : []),
    ...validateImmutable(group, old.spec.group, "spec.group"),
    ...validateImmutable(names?.plural, old.spec.names.plural, "spec.names.plural"),
  ];
}

function groupErrors(group: string | undefined): FieldError[] {
  if (!group) return [required("spec.group")];
  const wrong = subdomainErrors(group);
  if (wrong.length > 0) return [invalid("spec.group", group, wrong.join(","))];
  if (group.includes(".")) return [];
  return [invalid("spec.group", group, "should be a domain with at least one dot")];
}

function requiredNames(names: Names | undefined): FieldError[] {
  const fields = ["plural", "singular", "kind", "listKind"] as const;
  return fields.filter((field) => !names?.[field]).map((field) => required(`spec.names.${field}`));
}

/** Names that are no labels; kinds may have capitals. */
export function namesErrors(names: Names, path: string): FieldError[] {
  const { plural, singular, kind, listKind, shortNames = [], categories = [] } = names;
  const errors: FieldError[] = [];
  const item = (field: string, value: string, intro = ""): void => {
    const wrong = label1035Errors(intro === "" ? value : value.toLowerCase());
    if (wrong.length === 0) return;
    errors.push(invalid(`${path}.${field}`, value, `${intro}${wrong.join(",")}`));
  };
  const label = (field: string, value: string | undefined, intro = ""): void => {
    if (value) item(field, value, intro);
  };
  const mixed = "may have mixed case, but should otherwise match: ";
  label("plural", plural);
  label("singular", singular);
  label("kind", kind, mixed);
  label("listKind", listKind, mixed);
  for (const [index, name] of shortNames.entries()) item(`shortNames[${index}]`, name);
  if (kind && kind === listKind) {
    const detail = "kind and listKind may not be the same";
    errors.push(invalid(`${path}.listKind`, listKind, detail));
  }
  for (const [index, name] of categories.entries()) item(`categories[${index}]`, name);
  return errors;
}

function conversionErrors(crd: Crd): FieldError[] {
  const { conversion } = crd.spec;
  if (conversion === undefined) return [];
  const { strategy, webhook } = conversion;
  const path = "spec.conversion";
  const errors = oneOf(`${path}.strategy`, strategy, ["None", "Webhook"]);
  const clientAt = `${path}.webhookClientConfig`;
  const versionsAt = `${path}.conversionReviewVersions`;
  const client = webhook?.clientConfig;
  const versions = webhook?.conversionReviewVersions ?? [];
  if (strategy !== "Webhook") {
    const detail = "should not be set when strategy is not set to Webhook";
    if (client !== undefined) errors.push(forbidden(clientAt, detail));
    if (versions.length > 0) errors.push(forbidden(versionsAt, detail));
    return errors;
  }
  if (client === undefined) {
    errors.push(required(clientAt, "required when strategy is set to Webhook"));
  } else errors.push(...webhookClientErrors(client, clientAt));
  if (versions.length === 0) errors.push(required(versionsAt));
  else if (!versions.some((version) => version === "v1" || version === "v1beta1")) {
    errors.push(invalid(versionsAt, versions, "must include at least one of v1, v1beta1"));
  }
  return errors;
}

function storedVersionsErrors(crd: Crd): FieldError[] {
  const stored = crd.status?.storedVersions ?? [];
  const field = "status.storedVersions";
  if (stored.length === 0) return [invalid(field, stored, "must have at least one stored version")];
  const versions = crd.spec.versions ?? [];
  const names = versions.map(({ name }) => name);
  const missing = versions.filter(({ storage, name }) => storage && !stored.includes(name));
  const errors = missing.map((version) =>
    invalid(field, version, `must have the storage version ${version.name}`),
  );
  stored.forEach((version, index) => {
    if (names.includes(version)) return;
    const detail =
      `missing from spec.versions; ${version} was previously a storage version, and must ` +
      "remain in spec.versions until a storage migration ensures no data remains persisted in " +
      `${version} and removes ${version} from status.storedVersions`;
    errors.push(invalid(`${field}[${index}]`, version, detail));
  });
  return errors;
}
