/** What the status of a CustomResourceDefinition says about its names and its end. */
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionCondition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionStatus,
} from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { formatTime, mutable } from "../objects.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;
type Names = DeepReadonly<CustomResourceDefinitionNames>;
type Condition = CustomResourceDefinitionCondition;
type Fact = Pick<Condition, "type" | "status" | "reason" | "message">;

/** A kind that is served already, or that another definition has claimed. */
export interface TakenNames {
  readonly resources: ReadonlySet<string>;
  readonly kinds: ReadonlySet<string>;
}

/** The names that the other definitions of the group hold. */
export function takenNames(crd: Crd, all: Iterable<Crd>): TakenNames {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const other of all) {
    if (other.metadata.uid === crd.metadata.uid || other.spec.group !== crd.spec.group) continue;
    const names = other.status?.acceptedNames;
    if (names === undefined) continue;
    for (const name of resourceNames(names)) resources.add(name);
    for (const kind of [names.kind, names.listKind]) if (kind) kinds.add(kind);
  }
  return { resources, kinds };
}

function resourceNames(names: Names): readonly string[] {
  const all = [names.plural, names.singular ?? "", ...(names.shortNames ?? [])];
  return all.filter((name) => name !== "");
}

/** Accepted names, conditions: the status that names and conflicts ask for. */
export function planNames(crd: Crd, taken: TakenNames, now: Date): CustomResourceDefinitionStatus {
  const wanted = crd.spec.names;
  const held = crd.status?.acceptedNames;
  const accepted: CustomResourceDefinitionNames = mutable<CustomResourceDefinitionNames>(
    held ?? { plural: "", kind: "" },
  );
  const conflicts: { reason: string; message: string }[] = [];
  const take = (
    reason: string,
    field: "plural" | "singular" | "kind" | "listKind",
    names: ReadonlySet<string>,
  ): void => {
    const name = wanted[field] ?? "";
    if (name === accepted[field]) return;
    const message = `"${name}" is already in use`;
    if (name !== "" && names.has(name)) conflicts.push({ reason, message });
    else accepted[field] = name;
  };
  take("PluralConflict", "plural", taken.resources);
  take("SingularConflict", "singular", taken.resources);
  const busy = (wanted.shortNames ?? []).filter((name) => taken.resources.has(name));
  if (busy.length === 0) {
    if (wanted.shortNames === undefined) delete accepted.shortNames;
    else accepted.shortNames = [...wanted.shortNames];
  } else {
    const each = busy.map((name) => `"${name}" is already in use`);
    const message = each.length === 1 ? (each[0] ?? "") : `[${each.join(", ")}]`;
    conflicts.push({ reason: "ShortNamesConflict", message });
  }
  take("KindConflict", "kind", taken.kinds);
  take("ListKindConflict", "listKind", taken.kinds);
  if (wanted.categories === undefined) delete accepted.categories;
  else accepted.categories = [...wanted.categories];
  const facts = [...approvalFacts(crd), ...nameFacts(crd, conflicts)];
  return withFacts({ ...statusOf(crd), acceptedNames: accepted }, facts, now);
}

function nameFacts(crd: Crd, conflicts: readonly { reason: string; message: string }[]): Fact[] {
  // Upstream looks at one after the other, and keeps what it found last.
  const conflict = conflicts.at(-1);
  const isEstablished = hasCondition(crd, "Established");
  const established: Fact = {
    type: "Established",
    status: "True",
    reason: "InitialNamesAccepted",
    message: "the initial names have been accepted",
  };
  if (conflict === undefined) {
    const accepted: Fact = {
      type: "NamesAccepted",
      status: "True",
      reason: "NoConflicts",
      message: "no conflicts found",
    };
    return [accepted, established];
  }
  const refused: Fact = { type: "NamesAccepted", status: "False", ...conflict };
  // What was served once goes on under its former names.
  if (isEstablished) return [refused, established];
  const reason = "NotAccepted";
  const message = "not all names are accepted";
  return [refused, { type: "Established", status: "False", reason, message }];
}

const approvedAnnotation = "api-approved.kubernetes.io";

/** Groups below k8s.io and kubernetes.io belong to the project and need its approval. */
function approvalFacts(crd: Crd): Fact[] {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(crd.spec.group)) return [];
  const value = crd.metadata.annotations?.[approvedAnnotation] ?? "";
  const type = "KubernetesAPIApprovalPolicyConformant";
  if (value.startsWith("unapproved")) {
    const message = `not approved: "${value}"`;
    return [{ type, status: "False", reason: "UnapprovedAnnotation", message }];
  }
  if (URL.canParse(value)) {
    const message = `approved in ${value}`;
    return [{ type, status: "True", reason: "ApprovedAnnotation", message }];
  }
  if (value === "") {
    const message =
      `protected groups must have approval annotation "${approvedAnnotation}", see ` +
      "https://github.com/kubernetes/enhancements/pull/1111";
    return [{ type, status: "False", reason: "MissingAnnotation", message }];
  }
  const message =
    `protected groups must have approval annotation "${approvedAnnotation}" with either a URL or ` +
    'a reason starting with "unapproved"';
  return [{ type, status: "False", reason: "InvalidAnnotation", message }];
}

function statusOf(crd: Crd): CustomResourceDefinitionStatus {
  return mutable<CustomResourceDefinitionStatus>(crd.status ?? {});
}

export function hasCondition(crd: Crd, type: string): boolean {
  const conditions = crd.status?.conditions ?? [];
  return conditions.some((one) => one.type === type && one.status === "True");
}

/** The condition of a definition whose objects are being deleted. */
export function planTerminating(
  crd: Crd,
  state: "InProgress" | "Completed",
  remaining: number,
  now: Date,
): CustomResourceDefinitionStatus {
  const isDone = state === "Completed";
  const left = remaining === 0 ? "" : `, ${remaining} remaining`;
  const fact: Fact = {
    type: "Terminating",
    status: isDone ? "False" : "True",
    reason: `InstanceDeletion${state}`,
    message: isDone ? "removed all instances" : `CustomResource deletion is in progress${left}`,
  };
  return withFacts(statusOf(crd), [fact], now);
}

/** Sets conditions in place; the time changes with the status only. */
function withFacts(
  status: CustomResourceDefinitionStatus,
  facts: readonly Fact[],
  now: Date,
): CustomResourceDefinitionStatus {
  const conditions = [...(status.conditions ?? [])];
  for (const fact of facts) {
    const at = conditions.findIndex(({ type }) => type === fact.type);
    const before = conditions[at];
    const lastTransitionTime =
      before?.status === fact.status && before.lastTransitionTime
        ? before.lastTransitionTime
        : formatTime(now);
    const condition: Condition = { lastTransitionTime, ...fact };
    if (at < 0) conditions.push(condition);
    else conditions[at] = { ...before, ...condition };
  }
  return { ...status, conditions };
}
