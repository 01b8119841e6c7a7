/** PodSecurityConfiguration: what holds where a namespace says nothing, and who is exempt. */
import {
  checkType,
  knownMembers,
  recordAt,
  textAt,
  textsAt,
  throwProblems,
} from "../../config-reader.ts";
import { type Policy, policyOf, privilegedPolicy } from "./levels.ts";

export interface PodSecuritySettings {
  readonly defaults: Policy;
  readonly exemptions: {
    readonly usernames: readonly string[];
    readonly namespaces: readonly string[];
    readonly runtimeClasses: readonly string[];
  };
}

const versions = ["v1", "v1beta1", "v1alpha1"].map(
  (version) => `pod-security.admission.config.k8s.io/${version}`,
);
const modes = ["enforce", "audit", "warn"];

/** Throws for what cannot be used; `undefined` configures nothing. */
export function readPodSecurity(value: unknown): PodSecuritySettings {
  const config = recordAt(value, "");
  if (value !== undefined) checkType(config, versions, "PodSecurityConfiguration");
  knownMembers(config, "", ["apiVersion", "kind", "defaults", "exemptions"]);
  const given = recordAt(config.defaults, "defaults");
  const keys = modes.flatMap((mode) => [mode, `${mode}-version`]);
  knownMembers(given, "defaults", keys);
  const exempt = recordAt(config.exemptions, "exemptions");
  knownMembers(exempt, "exemptions", ["usernames", "namespaces", "runtimeClasses"]);
  const texts = (key: string): readonly string[] => textsAt(exempt[key], `exemptions.${key}`);
  // The defaults are said as labels say it.
  const labels = keys
    .map((key) => [`pod-security.kubernetes.io/${key}`, textAt(given[key], `defaults.${key}`)])
    .filter(([, text]) => text !== "");
  const { policy, problems } = policyOf(Object.fromEntries(labels), privilegedPolicy);
  throwProblems(
    problems.map(({ label, value: wrong, detail }) => {
      const field = `defaults.${label.replace(/^.*\//, "")}`;
      return `${field}: Invalid value: ${JSON.stringify(wrong)}: ${detail}`;
    }),
  );
  return {
    defaults: policy,
    exemptions: {
      usernames: texts("usernames"),
      namespaces: texts("namespaces"),
      runtimeClasses: texts("runtimeClasses"),
    },
  };
}
