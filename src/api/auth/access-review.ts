/** The question of an authorizer as the spec of a SubjectAccessReview. */
import {
  type FieldTerm,
  parseFieldSelector,
  parseLabelSelector,
  type Requirement,
  SelectorError,
} from "../../lib/selector.ts";
import type { Attributes } from "../authorizer.ts";

const operators: Readonly<Record<string, string>> = {
  "=": "In",
  "==": "In",
  in: "In",
  "!=": "NotIn",
  notin: "NotIn",
  exists: "Exists",
  "!": "DoesNotExist",
};

/** `version` v1beta1 calls the groups `group`. */
export function accessReviewSpec(attributes: Attributes, version: "v1" | "v1beta1"): object {
  const { user } = attributes;
  const hasExtra = Object.keys(user.extra).length > 0;
  return {
    ...(attributes.isResourceRequest
      ? { resourceAttributes: resourceAttributes(attributes) }
      : { nonResourceAttributes: nonEmpty({ path: attributes.path, verb: attributes.verb }) }),
    ...(user.name !== "" && { user: user.name }),
    ...(user.groups.length > 0 && { [version === "v1" ? "groups" : "group"]: user.groups }),
    ...(hasExtra && { extra: user.extra }),
    ...(user.uid !== "" && { uid: user.uid }),
  };
}

function resourceAttributes(attributes: Attributes): object {
  const { namespace, verb, group, version, resource, subresource, name } = attributes;
  const { fieldSelector = "", labelSelector = "" } = attributes;
  const [fields, labels] = [fieldRequirements(fieldSelector), labelRequirements(labelSelector)];
  return {
    ...nonEmpty({ namespace, verb, group, version, resource, subresource, name }),
    ...(fields.length > 0 && { fieldSelector: { requirements: fields } }),
    ...(labels.length > 0 && { labelSelector: { requirements: labels } }),
  };
}

function nonEmpty(texts: Readonly<Record<string, string>>): object {
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""));
}

/** What cannot be read narrows nothing: the wider question is asked. */
function fieldRequirements(text: string): readonly object[] {
  if (text === "") return [];
  return readable(() => parseFieldSelector(text)).map(({ field, operator, value }: FieldTerm) => ({
    key: field,
    operator: operators[operator] ?? "In",
    values: [value],
  }));
}

function labelRequirements(text: string): readonly object[] {
  if (text === "") return [];
  const requirements = readable(() => parseLabelSelector(text).requirements);
  return requirements.flatMap(({ key, operator, values }: Requirement) => {
    const name = operators[operator];
    if (name === undefined) return [];
    return [{ key, operator: name, ...(values.length > 0 && { values }) }];
  });
}

function readable<T>(parse: () => readonly T[]): readonly T[] {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SelectorError) return [];
    throw error;
  }
}
