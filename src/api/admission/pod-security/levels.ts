/** The levels of the Pod Security Standards, and which one a namespace asks for. */
import { baselineChecks } from "./baseline.ts";
import type { Check, ReadPod, Violation } from "./check.ts";
import { restrictedChecks } from "./restricted.ts";

export type Level = "privileged" | "baseline" | "restricted";
export type Mode = "enforce" | "audit" | "warn";

/** A level as it was in a version of Kubernetes; "latest" is the newest. */
export interface LevelVersion {
  readonly level: Level;
  readonly version: string;
}

export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
}

export interface LabelProblem {
  readonly label: string;
  readonly value: string;
  readonly detail: string;
}

const prefix = "pod-security.kubernetes.io/";
const modes: readonly Mode[] = ["enforce", "audit", "warn"];
const levels: readonly string[] = ["privileged", "baseline", "restricted"];

type Labels = Readonly<Record<string, string>> | undefined;

const privileged: LevelVersion = { level: "privileged", version: "latest" };

/** What holds where nothing else is asked for. */
export const privilegedPolicy: Policy = {
  enforce: privileged,
  audit: privileged,
  warn: privileged,
};

/** What a namespace's labels ask for, else what `defaults` do, and what is wrong with them. */
export function policyOf(
  labels: Labels,
  defaults: Policy = privilegedPolicy,
): {
  readonly policy: Policy;
  readonly problems: readonly LabelProblem[];
} {
  const problems: LabelProblem[] = [];
  const of = (mode: Mode): LevelVersion => {
    const [levelLabel, versionLabel] = [`${prefix}${mode}`, `${prefix}${mode}-version`];
    const level = labels?.[levelLabel] ?? defaults[mode].level;
    const version = labels?.[versionLabel] ?? defaults[mode].version;
    if (!levels.includes(level)) {
      const detail = `must be one of ${levels.join(", ")}`;
      problems.push({ label: levelLabel, value: level, detail });
    }
    if (version !== "latest" && !/^v1\.([0-9]|[1-9][0-9]*)$/.test(version)) {
      const detail = 'must be "latest" or "v1.x"';
      problems.push({ label: versionLabel, value: version, detail });
    }
    // Who cannot be understood is held to the strictest.
    const known = levels.includes(level) ? (level as Level) : "restricted";
    return { level: known, version: problems.length === 0 ? version : "latest" };
  };
  const [enforce, audit, warn] = modes.map(of) as [LevelVersion, LevelVersion, LevelVersion];
  return { policy: { enforce, audit, warn }, problems };
}

export function levelText({ level, version }: LevelVersion): string {
  return `${level}:${version}`;
}

function byId(a: Check, b: Check): number {
  return a.id < b.id ? -1 : 1;
}

function checksOf(level: Level, minor: number): readonly Check[] {
  if (level === "privileged") return [];
  const holds = ({ since }: Check): boolean => since <= minor;
  const baseline = baselineChecks.filter(holds).toSorted(byId);
  if (level === "baseline") return baseline;
  const restricted = restrictedChecks.filter(holds).toSorted(byId);
  const overridden = new Set(restricted.flatMap(({ overrides = [] }) => overrides));
  return [...baseline.filter(({ id }) => !overridden.has(id)), ...restricted];
}

/** What of the pod the level forbids, in the order of messages. */
export function violations(pod: ReadPod, { level, version }: LevelVersion): readonly Violation[] {
  const minor = version === "latest" ? Number.MAX_SAFE_INTEGER : Number(version.slice(3));
  return checksOf(level, minor).flatMap(({ run }) => run(pod, minor) ?? []);
}

export function violationsText(found: readonly Violation[]): string {
  return found
    .map(({ reason, detail }) => (detail === "" ? reason : `${reason} (${detail})`))
    .join(", ");
}
