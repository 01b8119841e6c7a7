/** The same series of writes through Kubernetes' own field manager and through ours. */
import fc from "fast-check";
import { decodeValue } from "../../src/schema/decode.ts";
import { type Manager, writeManagers } from "../../src/schema/managers.ts";
import { emptyObject, mergeTypeOf } from "../../src/schema/merge-type.ts";
import { pathText } from "../../src/schema/path-element.ts";
import {
  applyConfig,
  ConflictError,
  trackUpdate,
  type Write,
} from "../../src/schema/track-fields.ts";

type Json = Record<string, unknown>;

export interface Kind {
  readonly kind: string;
  readonly group: string;
  readonly type: string;
  readonly subresources: readonly string[];
  readonly objects: fc.Arbitrary<Json>;
}

export interface Step {
  readonly operation: "Apply" | "Update";
  readonly manager: string;
  readonly subresource: string;
  readonly force: boolean;
  readonly object: Json;
}

export interface Outcome {
  readonly error?: string;
  readonly object?: Json;
}

const word = fc.constantFrom("a", "b", "c");
const labels = fc.dictionary(word, word, { maxKeys: 3 });
const any = (model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Json> =>
  fc.record(model, { requiredKeys: [] });
const list = <T>(items: fc.Arbitrary<T>, key: (item: T) => string): fc.Arbitrary<T[]> =>
  fc.uniqueArray(items, { selector: key, maxLength: 3 });

const metadata = any({
  labels,
  annotations: labels,
  finalizers: fc.uniqueArray(word.map((name) => `x/${name}`)),
  ownerReferences: list(
    fc.record({ apiVersion: fc.constant("v1"), kind: word, name: word, uid: word }),
    ({ uid }) => uid,
  ),
});
const port = fc.record(
  { containerPort: fc.constantFrom(80, 81), name: word, protocol: fc.constantFrom("TCP", "UDP") },
  { requiredKeys: ["containerPort"] },
);
const container = fc.record(
  {
    name: word,
    image: word,
    args: fc.array(word, { maxLength: 2 }),
    env: list(fc.record({ name: word, value: word }), ({ name }) => name),
    ports: list(port, (one) => `${one.containerPort} ${one.protocol ?? "TCP"}`),
    resources: any({ limits: any({ cpu: fc.constantFrom("1", "2"), memory: fc.constant("1Gi") }) }),
    securityContext: any({
      runAsUser: fc.constantFrom(1, 2),
      capabilities: any({ add: fc.array(word) }),
    }),
  },
  { requiredKeys: ["name"] },
);
const podSpec = fc.record(
  {
    containers: list(container, ({ name }) => name).filter(({ length }) => length > 0),
    nodeSelector: labels,
    tolerations: fc.array(any({ key: word, operator: fc.constantFrom("Exists", "Equal") })),
    volumes: list(fc.record({ name: word, emptyDir: any({ medium: word }) }), ({ name }) => name),
    hostNetwork: fc.boolean(),
    imagePullSecrets: list(fc.record({ name: word }), ({ name }) => name),
  },
  { requiredKeys: ["containers"] },
);
const time = fc.constant("2026-01-01T00:00:00Z");
const deploymentSpec = fc.record(
  {
    replicas: fc.constantFrom(0, 1, 2),
    selector: fc.constant({ matchLabels: { app: "x" } }),
    template: fc.record({ metadata: any({ labels }), spec: podSpec }),
    strategy: any({ type: fc.constantFrom("Recreate", "RollingUpdate") }),
  },
  { requiredKeys: ["selector", "template"] },
);
const condition = fc.record({
  type: word,
  status: word,
  lastTransitionTime: time,
  lastUpdateTime: time,
});
const servicePort = fc.record(
  { port: fc.constantFrom(80, 81), protocol: fc.constantFrom("TCP", "UDP"), name: word },
  { requiredKeys: ["port"] },
);

export const kinds: readonly Kind[] = [
  {
    kind: "ConfigMap",
    group: "",
    type: "io.k8s.api.core.v1.ConfigMap",
    subresources: [""],
    objects: any({ metadata, data: labels, immutable: fc.boolean() }),
  },
  {
    kind: "Deployment",
    group: "apps",
    type: "io.k8s.api.apps.v1.Deployment",
    subresources: ["", "", "status"],
    objects: fc.record({
      metadata,
      spec: deploymentSpec,
      status: any({
        replicas: fc.constantFrom(0, 1),
        conditions: list(condition, (one) => one.type),
      }),
    }),
  },
  {
    kind: "Pod",
    group: "",
    type: "io.k8s.api.core.v1.Pod",
    subresources: [""],
    objects: fc.record({ metadata, spec: podSpec }),
  },
  {
    kind: "Service",
    group: "",
    type: "io.k8s.api.core.v1.Service",
    subresources: [""],
    objects: fc.record({
      metadata,
      spec: any({
        selector: labels,
        ports: list(servicePort, (one) => `${one.port} ${one.protocol ?? "TCP"}`),
        clusterIPs: fc.array(word, { maxLength: 2 }),
      }),
    }),
  },
];

export function apiVersionOf({ group }: Kind): string {
  return group === "" ? "v1" : `${group}/v1`;
}

/** Series of writes of a kind, the same for the same seed. */
export function seriesOf(kind: Kind, count: number, seed: number): readonly Step[][] {
  const step = fc.record({
    operation: fc.constantFrom("Apply", "Apply", "Update"),
    manager: fc.constantFrom("one", "two", "three"),
    subresource: fc.constantFrom(...kind.subresources),
    force: fc.boolean(),
    object: kind.objects,
  }) as fc.Arbitrary<Step>;
  const steps = fc.array(step, { minLength: 1, maxLength: 6 });
  return fc.sample(steps, { numRuns: count, seed }).map((each) =>
    each.map((one) => {
      const identity = { apiVersion: apiVersionOf(kind), kind: kind.kind };
      return { ...one, object: { ...identity, ...one.object } };
    }),
  );
}

/** What our field manager makes of a series. */
export function ownOutcomes(kind: Kind, steps: readonly Step[]): readonly Outcome[] {
  const type = mergeTypeOf(kind.type);
  const apiVersion = apiVersionOf(kind);
  const empty = { ...emptyObject(kind.type), apiVersion, kind: kind.kind };
  let live: Json | undefined;
  let managers: readonly Manager[] = [];
  return steps.map((step) => {
    const ignored = step.subresource === "status" ? { "f:spec": {} } : { "f:status": {} };
    const isUpdate = step.operation === "Update";
    const write: Write = {
      view: (version) => (version === apiVersion ? { type, ignored } : undefined),
      apiVersion,
      subresource: step.subresource,
      manager: step.manager,
      managers,
      live: live ?? (isUpdate ? empty : {}),
      now: "2026-01-01T00:00:00Z",
    };
    try {
      const next = isUpdate ? updated(kind, write, step, live) : applied(write, step, empty, live);
      const { object } = decodeValue(kind.type, structuredClone(next.object));
      object.metadata.uid = "uid";
      live = object as unknown as Json;
      managers = next.managers;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      return { error: error.conflicts.map(({ path }) => pathText(path)).join("\n") };
    }
    const managedFields = writeManagers(managers).map(({ time: _, ...entry }) => entry);
    const shown = structuredClone(live) as Json & { metadata: Json };
    return { object: { ...shown, metadata: { ...shown.metadata, managedFields } } };
  });
}

function updated(kind: Kind, write: Write, step: Step, live: Json | undefined) {
  const { object } = decodeValue(kind.type, structuredClone(step.object));
  if (live !== undefined) object.metadata.uid = "uid";
  const isSilent = live !== undefined && write.managers.length === 0;
  return { object, managers: isSilent ? [] : trackUpdate(write, object) };
}

function applied(write: Write, step: Step, empty: object, live: Json | undefined) {
  const isNew = live === undefined || write.managers.length > 0;
  const managers = isNew
    ? write.managers
    : trackUpdate({ ...write, live: empty, manager: "before-first-apply" }, live);
  return applyConfig({ ...write, managers }, step.object, step.force);
}

/** What differs between two outcomes of one write; undefined when they say the same. */
export function difference(theirs: Outcome, ours: Outcome): string | undefined {
  if (theirs.error !== undefined || ours.error !== undefined) {
    const paths = ours.error?.split("\n") ?? ["no conflict"];
    const told = paths.every((path) => theirs.error?.includes(path) === true);
    return told ? undefined : `conflicts: ${theirs.error ?? "none"} / ${ours.error ?? "none"}`;
  }
  const [left, right] = [comparable(theirs.object), comparable(ours.object)];
  return left === right ? undefined : `${left}\n${right}`;
}

/** Members in order, without what says nothing, managers by name. */
function comparable(object: Json | undefined): string {
  return JSON.stringify(normal(object, false));
}

function normal(value: unknown, isSet: boolean): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => normal(item, isSet));
    const isRecord = items.some((item) => (item as Json | null)?.operation !== undefined);
    return isRecord ? items.toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1)) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  const result: Json = {};
  for (const name of Object.keys(value).sort()) {
    const member = normal((value as Json)[name], isSet || name === "fieldsV1");
    const isEmpty = typeof member === "object" && Object.keys(member ?? {}).length === 0;
    if (name !== "creationTimestamp" && (isSet || !isEmpty)) result[name] = member;
  }
  return result;
}

function textOf(entry: unknown): string {
  const { manager, operation, subresource } = entry as Json;
  return JSON.stringify([operation, manager, subresource]);
}
