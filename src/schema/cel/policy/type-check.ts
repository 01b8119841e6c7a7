/** What the types of the kinds that a policy is about say of its expressions (KEP-3488). */
import type {
  ExpressionWarning,
  ValidatingAdmissionPolicySpec,
} from "../../../gen/admissionregistration-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import type { CelType } from "../check/types.ts";
import { CelError } from "../environment.ts";
import { PolicyExpressions } from "./expressions.ts";

type Spec = DeepReadonly<ValidatingAdmissionPolicySpec>;

export interface TypedKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Undefined for a kind whose schema tells nothing. */
  readonly type: CelType | undefined;
}

/** Finds the kinds that are served. */
export interface KindLookup {
  byResource(group: string, version: string, resource: string): TypedKind | undefined;
  byKind(group: string, version: string, kind: string): TypedKind | undefined;
}

const limits = { kindsMax: 10 } as const;

/** A warning for each expression that cannot be right for some kind. */
export function typeWarnings(spec: Spec, lookup: KindLookup): ExpressionWarning[] {
  const kinds = kindsOf(spec, lookup);
  const params = paramType(spec, lookup);
  const checkers = kinds.map((kind) => ({
    kind,
    expressions: new PolicyExpressions(
      { hasParams: spec.paramKind !== undefined, object: kind.type, params },
      spec.variables,
    ),
  }));
  const warning = (fieldRef: string, expression: string): readonly ExpressionWarning[] => {
    const told = checkers.flatMap(({ kind, expressions }) => {
      const why = problem(expressions, expression);
      return why === undefined ? [] : [`${nameOf(kind)}: ${why}\n`];
    });
    return told.length === 0 ? [] : [{ fieldRef, warning: told.join("\n") }];
  };
  return (spec.validations ?? []).flatMap(({ expression, messageExpression = "" }, index) => {
    const at = `spec.validations[${index}]`;
    const message =
      messageExpression === "" ? [] : warning(`${at}.messageExpression`, messageExpression);
    return [...warning(`${at}.expression`, expression), ...message];
  });
}

function problem(expressions: PolicyExpressions, expression: string): string | undefined {
  try {
    expressions.program(expression, { hasAuthorizer: true });
    return undefined;
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    return error.stage === "compilation" ? error.message : undefined;
  }
}

function nameOf({ group, version, kind }: TypedKind): string {
  return `${group}/${version}, Kind=${kind}`;
}

/** The kinds that the rules name without wildcards, in order. */
function kindsOf(spec: Spec, lookup: KindLookup): readonly TypedKind[] {
  const found = new Map<string, TypedKind>();
  for (const rule of spec.matchConstraints?.resourceRules ?? []) {
    const { apiGroups = [], apiVersions = [], resources = [] } = rule;
    if ([...apiGroups, ...apiVersions].some((one) => one.includes("*"))) continue;
    const plain = resources.filter((one) => !/[*/]/.test(one));
    let count = 0;
    for (const group of apiGroups.toSorted()) {
      for (const version of apiVersions.toSorted()) {
        for (const resource of plain.toSorted()) {
          const kind = lookup.byResource(group, version, resource);
          if (kind === undefined) continue;
          found.set(nameOf(kind), kind);
          if (++count === limits.kindsMax) return sorted(found.values());
        }
      }
    }
  }
  return sorted(found.values());
}

function sorted(kinds: Iterable<TypedKind>): readonly TypedKind[] {
  const key = ({ group, version, kind }: TypedKind): string => [group, version, kind].join("\0");
  return [...kinds].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function paramType({ paramKind }: Spec, lookup: KindLookup): CelType | undefined {
  const { apiVersion = "", kind = "" } = paramKind ?? {};
  const slash = apiVersion.indexOf("/");
  const group = apiVersion.slice(0, Math.max(0, slash));
  return lookup.byKind(group, apiVersion.slice(slash + 1), kind)?.type;
}
