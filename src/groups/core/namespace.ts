/** Namespaces: Active, then Terminating until the namespace controller empties spec.finalizers. */

import type { FieldError, ResourceDefinition, Subresource } from "../../api/resource-definition.ts";
import { namespaces } from "../../client/resources.ts";
import type { Namespace } from "../../gen/core-v1.ts";
import { labelErrors, labelKeyErrors } from "../../lib/names.ts";
import { copyJson } from "../../schema/copy.ts";
import { invalid, invalids } from "../field-errors.ts";
import { finalizerErrors } from "../metadata.ts";
import { allVerbs, column, define } from "../row.ts";

const nameLabel = "kubernetes.io/metadata.name";

const finalize: Subresource<Namespace> = {
  type: "part",
  verbs: ["update"],
  merge(old, sent): Namespace {
    const next = copyJson<Namespace>(old);
    next.spec = { ...next.spec, finalizers: [...(sent.spec?.finalizers ?? [])] };
    if (sent.metadata.resourceVersion)
      next.metadata.resourceVersion = sent.metadata.resourceVersion;
    return next;
  },
};

function validateFinalizers(finalizers: readonly string[] = [], field: string): FieldError[] {
  return finalizers.flatMap((name) => [
    ...invalids(field, name, labelKeyErrors(name)),
    ...finalizerErrors(name, field),
  ]);
}

/** A generated name that is wrong is told as a name alone. */
function labelWithName({ metadata }: Namespace): void {
  const { name = "", generateName } = metadata;
  if (name === "" || (generateName && labelErrors(name).length > 0)) return;
  metadata.labels = { ...metadata.labels, [nameLabel]: name };
}

export const namespace: ResourceDefinition = define<Namespace>(namespaces, {
  shortNames: ["ns"],
  verbs: allVerbs.filter((verb) => verb !== "deletecollection"),
  nameRule: labelErrors,
  namesOnUpdate: true,
  columns: [column("Status", (one) => one.status?.phase ?? "", "The status of the namespace")],
  fields: { "status.phase": (one) => one.status?.phase ?? "" },
  defaults(object) {
    const { metadata } = object;
    if (metadata.name) metadata.labels = { ...metadata.labels, [nameLabel]: metadata.name };
  },
  status: true,
  prepare(object, { verb, subresource, old }) {
    labelWithName(object);
    if (verb === "create") {
      object.status = { phase: "Active" };
      const before = object.spec?.finalizers ?? [];
      const finalizers = before.includes("kubernetes") ? before : [...before, "kubernetes"];
      object.spec = { ...object.spec, finalizers };
      return;
    }
    if (subresource === "" && old !== undefined)
      object.spec = { ...object.spec, finalizers: [...(old.spec?.finalizers ?? [])] };
  },
  validate: ({ spec }) => validateFinalizers(spec?.finalizers, "spec.finalizers"),
  validateStatus({ metadata, status }) {
    const isGoing = metadata.deletionTimestamp !== undefined;
    const only = isGoing ? "Terminating" : "Active";
    if (status?.phase === only) return [];
    const when = `\`deletionTimestamp\` is ${isGoing ? "not " : ""}empty`;
    return [invalid("status.Phase", status?.phase, `may only be '${only}' if ${when}`)];
  },
  strategy: {
    holdsDeletion: (object) => (object.spec?.finalizers ?? []).length > 0,
    markDeleted(object) {
      object.status = { ...object.status, phase: "Terminating" };
    },
  },
  subresources: { finalize },
});
