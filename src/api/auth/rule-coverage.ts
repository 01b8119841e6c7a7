/** Whether one set of RBAC rules allows everything that another one does. */
import type { PolicyRule } from "../../gen/rbac-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";

type Rule = DeepReadonly<PolicyRule>;

/** The parts of `wanted`, each of one verb on one thing, that no rule of `held` covers. */
export function uncovered(held: readonly Rule[], wanted: readonly Rule[]): readonly PolicyRule[] {
  return wanted.flatMap(atoms).filter((atom) => !held.some((rule) => covers(rule, atom)));
}

/** One verb, one group, one resource, at most one name; or one verb and one URL. */
function atoms(rule: Rule): PolicyRule[] {
  const paths = (rule.nonResourceURLs ?? []).flatMap((url) =>
    rule.verbs.map((verb) => ({ verbs: [verb], nonResourceURLs: [url] })),
  );
  const names = rule.resourceNames ?? [];
  const things = (rule.apiGroups ?? []).flatMap((group) =>
    (rule.resources ?? []).flatMap((resource) =>
      rule.verbs.flatMap((verb) => {
        const atom = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if (names.length === 0) return [atom];
        return names.map((name) => ({ ...atom, resourceNames: [name] }));
      }),
    ),
  );
  return [...things, ...paths];
}

function covers(rule: Rule, atom: PolicyRule): boolean {
  if (!hasAll(rule.verbs, atom.verbs)) return false;
  if (atom.nonResourceURLs !== undefined) {
    return atom.nonResourceURLs.every((url) => coversUrl(rule.nonResourceURLs, url));
  }
  const names = rule.resourceNames ?? [];
  return (
    hasAll(rule.apiGroups, atom.apiGroups ?? []) &&
    (atom.resources ?? []).every((resource) => coversResource(rule.resources, resource)) &&
    (names.length === 0 || (atom.resourceNames?.every((name) => names.includes(name)) ?? false))
  );
}

function hasAll(owned: readonly string[] | undefined, values: readonly string[]): boolean {
  return owned?.includes("*") || values.every((value) => owned?.includes(value));
}

function coversResource(owned: readonly string[] | undefined, resource: string): boolean {
  if (owned?.includes("*") || owned?.includes(resource)) return true;
  const slash = resource.indexOf("/");
  return slash >= 0 && (owned?.includes(`*${resource.slice(slash)}`) ?? false);
}

function coversUrl(owned: readonly string[] | undefined, url: string): boolean {
  return (
    owned?.some((one) => one === url || (one.endsWith("*") && url.startsWith(one.slice(0, -1)))) ??
    false
  );
}

/** Rules of one verb each on the same thing become one rule of all these verbs. */
export function compactRules(rules: readonly Rule[]): readonly PolicyRule[] {
  const byThing = new Map<string, PolicyRule>();
  for (const { verbs, ...thing } of rules) {
    const key = JSON.stringify(thing);
    const known = byThing.get(key);
    const all = [...(known?.verbs ?? []), ...verbs];
    byThing.set(key, { ...(thing as Omit<PolicyRule, "verbs">), verbs: [...new Set(all)] });
  }
  return [...byThing.values()];
}

/** A rule as upstream's messages write it. */
export function ruleText(rule: Rule): string {
  const parts: readonly (readonly [string, readonly string[] | undefined])[] = [
    ["APIGroups", rule.apiGroups],
    ["Resources", rule.resources],
    ["ResourceNames", rule.resourceNames],
    ["NonResourceURLs", rule.nonResourceURLs],
    ["Verbs", rule.verbs],
  ];
  const texts = parts.flatMap(([name, values = []]) =>
    values.length === 0 ? [] : [`${name}:${quotedList(values)}`],
  );
  return `{${texts.join(", ")}}`;
}

export function quotedList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}
