/** What FlowSchemas and PriorityLevelConfigurations must look like, in upstream's words. */
import {
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
} from "../api/flowcontrol/bootstrap-objects.ts";
import { hashBitsMax, requiredEntropyBits } from "../api/flowcontrol/shuffle-sharding.ts";
import type { FieldError } from "../api/resource-definition.ts";
import type {
  FlowSchema,
  LimitedPriorityLevelConfiguration,
  LimitResponse,
  NonResourcePolicyRule,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  QueuingConfiguration,
  ResourcePolicyRule,
  Subject,
} from "../gen/flowcontrol-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { labelErrors, subdomainErrors } from "../lib/names.ts";
import { semanticEqual } from "../lib/semantic-equal.ts";
import { duplicate, forbidden, invalid, invalids, notSupported, required } from "./field-errors.ts";

const limits = { precedenceMax: 10_000, queuesMax: 10_000_000 } as const;
const verbs = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "proxy",
  "update",
  "watch",
] as const;

/** Both kinds' conditions: typed, each type once. */
export function conditionErrors({
  status,
}: {
  readonly status?: { readonly conditions?: readonly { readonly type?: string }[] };
}): FieldError[] {
  const seen = new Set<string>();
  return (status?.conditions ?? []).flatMap(({ type = "" }, i) => {
    const field = `status.conditions[${i}].type`;
    const again = seen.has(type) ? [duplicate(field, type)] : [];
    seen.add(type);
    return type === "" ? [...again, required(field)] : again;
  });
}

export function validateFlowSchema({ metadata, spec }: DeepReadonly<FlowSchema>): FieldError[] {
  const { name = "" } = metadata;
  const precedence = spec?.matchingPrecedence ?? 0;
  const field = "spec.matchingPrecedence";
  const errors: FieldError[] = [];
  if (precedence <= 0) errors.push(invalid(field, precedence, "must be a positive value"));
  if (precedence > limits.precedenceMax) {
    const detail = `must not be greater than ${limits.precedenceMax}`;
    errors.push(invalid(field, precedence, detail));
  }
  if (precedence === 1 && name !== "exempt") {
    const detail = "only the schema named 'exempt' may have matchingPrecedence 1";
    errors.push(invalid(field, precedence, detail));
  }
  const method = spec?.distinguisherMethod;
  if (method && !["ByNamespace", "ByUser"].includes(method.type)) {
    const supported = ["ByNamespace", "ByUser"];
    errors.push(notSupported("spec.distinguisherMethod.type", method, supported));
  }
  const level = spec?.priorityLevelConfiguration?.name ?? "";
  const levelField = "spec.priorityLevelConfiguration.name";
  if (level === "") errors.push(required(levelField, "must reference a priority level"));
  else errors.push(...invalids(levelField, level, subdomainErrors(level)));
  for (const [i, rule] of (spec?.rules ?? []).entries()) {
    errors.push(...ruleErrors(rule, `spec.rules[${i}]`));
  }
  const fixed = mandatoryFlowSchemas.find((one) => one.metadata.name === name);
  if (fixed !== undefined && !semanticEqual(spec, fixed.spec)) {
    errors.push(invalid("spec", spec, `spec of '${name}' must equal the fixed value`));
  }
  return errors;
}

function ruleErrors(rule: DeepReadonly<PolicyRulesWithSubjects>, field: string): FieldError[] {
  const { subjects, resourceRules, nonResourceRules } = rule;
  const errors: FieldError[] = (subjects ?? []).flatMap((one, i) =>
    subjectErrors(one, `${field}.subjects[${i}]`),
  );
  if ((subjects ?? []).length === 0) {
    errors.push(required(`${field}.subjects`, "subjects must contain at least one value"));
  }
  if ((resourceRules ?? []).length === 0 && (nonResourceRules ?? []).length === 0) {
    const detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
    errors.push(required(field, detail));
  }
  return [
    ...errors,
    ...(resourceRules ?? []).flatMap((one, i) =>
      resourceRuleErrors(one, `${field}.resourceRules[${i}]`),
    ),
    ...(nonResourceRules ?? []).flatMap((one, i) =>
      nonResourceRuleErrors(one, `${field}.nonResourceRules[${i}]`),
    ),
  ];
}

const subjectKinds = { ServiceAccount: "serviceAccount", User: "user", Group: "group" } as const;

function subjectErrors(subject: DeepReadonly<Subject>, field: string): FieldError[] {
  const { kind } = subject;
  if (!(kind in subjectKinds)) {
    return [notSupported(`${field}.kind`, kind, Object.keys(subjectKinds).sort())];
  }
  const own = subjectKinds[kind as keyof typeof subjectKinds];
  const strangers = Object.entries(subjectKinds).flatMap(([other, part]) =>
    part === own || subject[part] === undefined
      ? []
      : [forbidden(`${field}.${part}`, `${part} is forbidden when subject kind is not '${other}'`)],
  );
  const about = subject[own];
  if (about === undefined) {
    const detail = `${own} is required when subject kind is '${kind}'`;
    return [required(`${field}.${own}`, detail), ...strangers];
  }
  const errors: FieldError[] = [];
  if (!about.name) errors.push(required(`${field}.${own}.name`));
  if (own === "serviceAccount") errors.push(...accountErrors(subject, `${field}.${own}`));
  return [...errors, ...strangers];
}

function accountErrors({ serviceAccount }: DeepReadonly<Subject>, field: string): FieldError[] {
  const { name = "", namespace = "" } = serviceAccount ?? {};
  const errors: FieldError[] = [];
  if (name !== "" && name !== "*") {
    errors.push(...invalids(`${field}.name`, name, subdomainErrors(name)));
  }
  if (namespace !== "") {
    errors.push(...invalids(`${field}.namespace`, namespace, labelErrors(namespace)));
  } else {
    const detail = "must specify namespace for service account";
    errors.push(required(`${field}.namespace`, detail));
  }
  return errors;
}

/** A star must stand alone; where there is none, `each` judges the members. */
function listErrors(
  list: readonly string[] | null | undefined,
  field: string,
  words: { readonly none: string; readonly others: string },
  each: () => FieldError[] = () => [],
): FieldError[] {
  if (!list || list.length === 0) return [required(field, words.none)];
  if (!list.includes("*")) return each();
  if (list.length === 1) return [];
  return [invalid(field, list, `if '*' is present, must not specify other ${words.others}`)];
}

function verbErrors(list: readonly string[] | undefined, field: string): FieldError[] {
  const words = { none: "verbs must contain at least one value", others: "verbs" };
  return listErrors(list, field, words, () =>
    (list ?? []).every((verb) => (verbs as readonly string[]).includes(verb))
      ? []
      : [notSupported(field, list, verbs)],
  );
}

function resourceRuleErrors(rule: DeepReadonly<ResourcePolicyRule>, field: string): FieldError[] {
  const { apiGroups, resources, namespaces, clusterScope } = rule;
  const groupWords = {
    none: "resource rules must supply at least one api group",
    others: "api groups",
  };
  const resourceWords = {
    none: "resource rules must supply at least one resource",
    others: "resources",
  };
  const namespaceWords = {
    none: "resource rules that are not cluster scoped must supply at least one namespace",
    others: "namespaces",
  };
  const needsNamespaces = (namespaces ?? []).length > 0 || clusterScope !== true;
  const intro = "each member of this list must be '*' or a DNS-1123 label; ";
  return [
    ...verbErrors(rule.verbs, `${field}.verbs`),
    ...listErrors(apiGroups, `${field}.apiGroups`, groupWords),
    ...listErrors(resources, `${field}.resources`, resourceWords),
    ...(needsNamespaces
      ? listErrors(namespaces, `${field}.namespaces`, namespaceWords, () =>
          (namespaces ?? []).flatMap((one, i) =>
            invalids(
              `${field}.namespaces[${i}]`,
              one,
              labelErrors(one).map((detail) => `${intro}${detail}`),
            ),
          ),
        )
      : []),
  ];
}

function nonResourceRuleErrors(
  rule: DeepReadonly<NonResourcePolicyRule>,
  field: string,
): FieldError[] {
  const list = rule.nonResourceURLs;
  const words = {
    none: "nonResourceURLs must contain at least one value",
    others: "non-resource URLs",
  };
  return [
    ...verbErrors(rule.verbs, `${field}.verbs`),
    ...listErrors(list, `${field}.nonResourceURLs`, words, () =>
      list.flatMap((path, i) => {
        const detail = pathProblem(path);
        return detail === undefined
          ? []
          : [invalid(`${field}.nonResourceURLs[${i}]`, path, detail)];
      }),
    ),
  ];
}

function pathProblem(path: string): string | undefined {
  if (path === "") return "must not be empty";
  if (path === "/") return undefined;
  if (!path.startsWith("/")) return "must start with slash";
  if (path.includes(" ")) return "must not contain white-space";
  if (path.includes("//")) return "must not contain double slash";
  const star = path.indexOf("*");
  const isSuffix = star === -1 || (star === path.length - 1 && path.endsWith("/*"));
  return isSuffix ? undefined : "wildcard can only do suffix matching";
}

export function validatePriorityLevel({
  metadata,
  spec,
}: DeepReadonly<PriorityLevelConfiguration>): FieldError[] {
  const { name = "" } = metadata;
  const errors: FieldError[] = [];
  if ((name === "exempt") !== (spec?.type === "Exempt")) {
    const detail = "must be 'Exempt' if and only if `name` is 'exempt'";
    errors.push(invalid("spec.type", spec?.type ?? "", detail));
  }
  errors.push(...levelSpecErrors(spec));
  const fixed = mandatoryPriorityLevels.find((one) => one.metadata.name === name);
  if (fixed === undefined) return errors;
  // Administrators may give shares to exempt requests; all else is fixed.
  const hasOwn = name === "exempt";
  const compared = hasOwn ? { ...spec, exempt: fixed.spec.exempt } : spec;
  if (!semanticEqual(compared, fixed.spec)) {
    const but = hasOwn ? " except the 'spec.exempt' field" : "";
    errors.push(invalid("spec", spec, `spec of '${name}'${but} must equal the fixed value`));
  }
  return errors;
}

type LevelSpec = DeepReadonly<PriorityLevelConfiguration>["spec"];

function levelSpecErrors(spec: LevelSpec | undefined): FieldError[] {
  if (!spec?.type) return [required("spec.type")];
  switch (spec.type) {
    case "Exempt": {
      const detail = "must be nil if the type is not Limited";
      return [
        ...(spec.limited === undefined ? [] : [forbidden("spec.limited", detail)]),
        ...(spec.exempt === undefined ? [] : shareErrors(spec.exempt, "spec.exempt")),
      ];
    }
    case "Limited": {
      const exempt =
        spec.exempt === undefined
          ? []
          : [forbidden("spec.exempt", "must be nil if the type is Limited")];
      if (spec.limited !== undefined) return [...exempt, ...limitedErrors(spec.limited)];
      return [...exempt, required("spec.limited", "must not be empty when type is Limited")];
    }
    default:
      return [notSupported("spec.type", spec.type, ["Exempt", "Limited"])];
  }
}

function shareErrors(
  part: { readonly nominalConcurrencyShares?: number; readonly lendablePercent?: number },
  field: string,
): FieldError[] {
  const { nominalConcurrencyShares: shares = 0, lendablePercent: percent = 0 } = part;
  const errors: FieldError[] = [];
  if (shares < 0) {
    const detail = "must be a non-negative integer";
    errors.push(invalid(`${field}.nominalConcurrencyShares`, shares, detail));
  }
  if (percent < 0 || percent > 100) {
    const detail = "must be between 0 and 100, inclusive";
    errors.push(invalid(`${field}.lendablePercent`, percent, detail));
  }
  return errors;
}

function limitedErrors(limited: DeepReadonly<LimitedPriorityLevelConfiguration>): FieldError[] {
  const { limitResponse, borrowingLimitPercent: percent = 0 } = limited;
  const errors = [
    ...shareErrors(limited, "spec.limited"),
    ...responseErrors(limitResponse, "spec.limited.limitResponse"),
  ];
  if (percent < 0) {
    const detail = "if specified, must be a non-negative integer";
    errors.push(invalid("spec.limited.borrowingLimitPercent", percent, detail));
  }
  return errors;
}

function responseErrors(
  response: DeepReadonly<LimitResponse> | undefined,
  field: string,
): FieldError[] {
  const { type = "", queuing } = response ?? {};
  const about = "if limited.limitResponse.type is";
  switch (type) {
    case "Reject":
      if (queuing === undefined) return [];
      return [forbidden(`${field}.queuing`, `must be nil ${about} not Limited`)];
    case "Queue":
      if (queuing !== undefined) return queuingErrors(queuing, `${field}.queuing`);
      return [required(`${field}.queuing`, `must not be empty ${about} Limited`)];
    case "":
      return [required(`${field}.type`)];
    default:
      return [notSupported(`${field}.type`, type, ["Queue", "Reject"])];
  }
}

function queuingErrors(queuing: DeepReadonly<QueuingConfiguration>, field: string): FieldError[] {
  const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing;
  const errors: FieldError[] = [];
  const refuse = (part: string, value: number, detail: string): void =>
    void errors.push(invalid(`${field}.${part}`, value, detail));
  if (queueLengthLimit <= 0) refuse("queueLengthLimit", queueLengthLimit, "must be positive");
  if (queues <= 0) refuse("queues", queues, "must be positive");
  else if (queues > limits.queuesMax) {
    refuse("queues", queues, `must not be greater than ${limits.queuesMax}`);
  }
  if (handSize <= 0) refuse("handSize", handSize, "must be positive");
  else if (handSize > queues) {
    refuse("handSize", handSize, `should not be greater than queues (${queues})`);
  } else if (requiredEntropyBits(queues, handSize) > hashBitsMax) {
    const sizes = `deckSize ${queues} and handSize ${handSize}`;
    const detail = `required entropy bits of ${sizes} should not be greater than ${hashBitsMax}`;
    refuse("handSize", handSize, detail);
  }
  return errors;
}
