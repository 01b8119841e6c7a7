/** The scale subresource: autoscaling/v1 Scale over a workload's own fields. */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { ageOf } from "../lib/human-duration.ts";
import {
  formatSelector,
  labelSelectorOf,
  type MetaLabelSelector,
  selectorOfMap,
} from "../lib/selector.ts";
import { copyJson } from "../schema/copy.ts";
import type { Manager } from "../schema/managers.ts";
import { mergeTypeOf } from "../schema/merge-type.ts";
import type { KubeObject } from "../schema/object.ts";
import { fieldElement } from "../schema/path-element.ts";
import { managersAfterScale, managersOfScale, scaleVersion } from "../schema/scale-managers.ts";
import { trackUpdate, type Write } from "../schema/track-fields.ts";
import { validateValue } from "../schema/typed-validate.ts";
import { fieldDoc } from "../schema/types.ts";
import { admitMutating } from "./admit.ts";
import { applyType, checkConfig, checkIdentity, mergedOrConflict, readConfig } from "./apply.ts";
import { readValue } from "./body.ts";
import type { Call } from "./call.ts";
import { invalid, notFound } from "./errors.ts";
import { setManagers, storedManagers, writeOf } from "./field-managers.ts";
import { applyTo, patchTypeOf, readPatch } from "./patch.ts";
import type { ApiResponse } from "./request.ts";
import type { Column, Subresource } from "./resource-definition.ts";
import { answerObject, readStored } from "./stored.ts";
import { changeStored } from "./update.ts";

export type ScalePaths = Subresource<KubeObject> & { readonly type: "scale" };

type ScaleCell = Column<KubeObject>["value"];

const nameCell: ScaleCell = (scale) => scale.metadata.name ?? "";
const desiredCell: ScaleCell = (scale) => Number(read(scale, "spec.replicas") ?? 0);
const availableCell: ScaleCell = (scale) => Number(read(scale, "status.replicas") ?? 0);
const ageCell: ScaleCell = (scale, now) => ageOf(scale.metadata.creationTimestamp, now);

/** What `kubectl get --subresource=scale` shows; custom resources have words of their own. */
export function scaleColumns(isCustom: boolean): readonly Column<KubeObject>[] {
  const column = (name: string, type: Column<KubeObject>["type"], description: string) => {
    return { name, type, description, priority: 0 } as const;
  };
  const meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
  const scale = "io.k8s.api.autoscaling.v1.Scale";
  const desired = isCustom ? "Number of desired replicas" : fieldDoc(`${scale}Spec`, "replicas");
  const actual = isCustom ? "Number of actual replicas" : fieldDoc(`${scale}Status`, "replicas");
  const name = column("Name", "string", fieldDoc(meta, "name"));
  const age = column("Age", isCustom ? "date" : "string", fieldDoc(meta, "creationTimestamp"));
  return [
    { ...name, ...(isCustom && { format: "name" }), value: nameCell },
    { ...column("Desired", "integer", desired), value: desiredCell },
    { ...column("Available", "integer", actual), value: availableCell },
    { ...age, value: ageCell },
  ];
}

export async function getScale(call: Call, paths: ScalePaths): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  const stored = await readStored(parts, definition, request.namespace, request.name);
  if (stored === undefined) throw notFound(definition, request.name);
  return answerObject(call, scaleOf(stored.object, paths));
}

export async function writeScale(call: Call, paths: ScalePaths): Promise<ApiResponse> {
  const next = readScaleChange(call);
  const answer = await changeStored(
    call,
    async (current) => {
      const scale = scaleOf(current.object, paths);
      const managers = storedManagers(current.object);
      const { value, after } = next(scale, managersOfScale(managers, elementsOf(paths.replicas)));
      const object = copyJson<KubeObject>(current.object as KubeObject);
      checkScale(call, value);
      const { apiVersion, kind } = scale;
      const admitted = { apiVersion, kind, metadata: {}, ...(value as Partial<KubeObject>) };
      await admitMutating(call, "UPDATE", admitted, scale);
      const { metadata, replicas } = checkScale(call, admitted);
      if (metadata.resourceVersion) object.metadata.resourceVersion = metadata.resourceVersion;
      else delete object.metadata.resourceVersion;
      if (metadata.uid) object.metadata.uid = metadata.uid;
      write(object, paths.replicas, replicas);
      const version = apiVersionOf(call.definition);
      const path = elementsOf(paths.replicas);
      setManagers(object, managersAfterScale(managers, after, path, version));
      return object;
    },
    { isTracked: true, shownAs: (object) => scaleOf(object, paths) },
  );
  if (answer.type !== "object") return answer;
  return answerObject(call, scaleOf(answer.object, paths));
}

/** The next Scale and who manages its replicas then. */
type ScaleChange = (
  scale: KubeObject,
  managers: readonly Manager[],
) => { readonly value: unknown; readonly after: readonly Manager[] };

/** Reads the body once: it may be used again when another writer was faster. */
function readScaleChange(call: Call): ScaleChange {
  const { request } = call;
  const type = mergeTypeOf("io.k8s.api.autoscaling.v1.Scale");
  const writeAt = (live: object, managers: readonly Manager[]): Write => ({
    ...writeOf(call, live, managers),
    view: (version) =>
      version === scaleVersion ? { type, ignored: { "f:status": {} } } : undefined,
    apiVersion: scaleVersion,
  });
  if (request.verb === "patch" && patchTypeOf(request) === applyType) {
    const config = readConfig(call);
    checkIdentity(config, scaleVersion, "Scale");
    checkConfig(config, validateValue(type, config));
    return (scale, managers) => {
      const { object, managers: after } = mergedOrConflict(call, writeAt(scale, managers), config);
      return { value: object, after };
    };
  }
  const patch = request.verb === "patch" ? readPatch(call) : undefined;
  const sent = patch === undefined ? readValue(call.parts.codec, request, request.contentType) : {};
  if (patch === undefined) request.audit?.requestObject(sent ?? {});
  return (scale, managers) => {
    const value =
      patch === undefined
        ? sent
        : applyTo(call, patch().kind, patch().body, copyJson<KubeObject>(scale));
    // Where nobody is known to manage the replicas, nobody begins to.
    const isTracked = isObject(value) && managers.length > 0;
    return { value, after: isTracked ? trackUpdate(writeAt(scale, managers), value) : managers };
  };
}

function isObject(value: unknown): value is KubeObject {
  return typeof value === "object" && value !== null;
}

function elementsOf(path: string): readonly string[] {
  return steps(path).map(fieldElement);
}

/** The Scale of an object, by the paths of its row. */
export function scaleOf(object: DeepReadonly<KubeObject>, paths: ScalePaths): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = read(object, paths.replicas);
  const selector = paths.selector === "" ? "" : selectorText(read(object, paths.selector));
  const scale = {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: copyJson({ name, namespace, uid, resourceVersion, creationTimestamp }),
    spec: replicas ? { replicas } : {},
    status: {
      replicas: read(object, paths.statusReplicas) ?? 0,
      ...(selector === "" ? {} : { selector }),
    },
  };
  return scale as unknown as KubeObject;
}

function selectorText(selector: unknown): string {
  if (typeof selector === "string") return selector;
  if (typeof selector !== "object" || selector === null) return "";
  const isMeta = "matchLabels" in selector || "matchExpressions" in selector;
  return formatSelector(
    isMeta
      ? labelSelectorOf(selector as MetaLabelSelector)
      : selectorOfMap(selector as Record<string, string>),
  );
}

interface CheckedScale {
  readonly metadata: { readonly resourceVersion?: string; readonly uid?: string };
  readonly replicas: number;
}

function checkScale(call: Call, value: unknown): CheckedScale {
  if (typeof value !== "object" || value === null) {
    throw new ApiError("BadRequest", "the body must be a Scale");
  }
  const scale = value as {
    kind?: unknown;
    metadata?: { name?: string; namespace?: string; resourceVersion?: string; uid?: string };
    spec?: { replicas?: unknown };
  };
  const { request } = call;
  if (scale.kind !== undefined && scale.kind !== "Scale") {
    throw new ApiError("BadRequest", `expected input object type to be Scale, but ${scale.kind}`);
  }
  const replicas = scale.spec?.replicas ?? 0;
  if (typeof replicas !== "number" || !Number.isInteger(replicas)) {
    throw new ApiError("BadRequest", "spec.replicas of a Scale must be a whole number");
  }
  // Of a custom resource, its own validation finds that.
  if (replicas < 0 && call.definition.custom === undefined) {
    const detail = "must be greater than or equal to 0";
    const field = "spec.replicas";
    throw invalid({ group: "autoscaling", plural: "", kind: "Scale" }, request.name, [
      { type: "FieldValueInvalid", field, value: replicas, detail },
    ]);
  }
  const name = scale.metadata?.name ?? "";
  if (name !== "" && name !== request.name) {
    throw new ApiError(
      "BadRequest",
      `the name of the object (${name}) does not match the name on the URL (${request.name})`,
    );
  }
  return { metadata: scale.metadata ?? {}, replicas };
}

function steps(path: string): readonly string[] {
  return path.split(".").filter((step) => step !== "");
}

function read(object: unknown, path: string): unknown {
  return steps(path).reduce<unknown>(
    (value, step) =>
      typeof value === "object" && value !== null
        ? (value as Record<string, unknown>)[step]
        : undefined,
    object,
  );
}

function write(object: KubeObject, path: string, value: unknown): void {
  const all = steps(path);
  let place = object as unknown as Record<string, unknown>;
  for (const step of all.slice(0, -1)) {
    place[step] ??= {};
    place = place[step] as Record<string, unknown>;
  }
  const last = all.at(-1);
  if (last !== undefined) place[last] = value;
}
