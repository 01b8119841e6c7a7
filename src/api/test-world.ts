/** A small API server for tests: a memory store, a seeded world, three plain resources. */
import type { Resource } from "../client/client.ts";
import { createStoreLiveSets } from "../live/store-feed.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { deduced } from "../schema/merge-type.ts";
import type { KubeObject } from "../schema/object.ts";
import { sameJson } from "../schema/same-json.ts";
import { openMemoryStore } from "../store/memory.ts";
import type { AdmissionPlugin } from "./admission-plugin.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Codec } from "./codec.ts";
import { mergePatch } from "./patch.ts";
import { createPipeline, serverUser } from "./pipeline.ts";
import { createRegistry, locateIn } from "./registry.ts";
import type { ApiRequest } from "./request.ts";
import type { ResourceDefinition, WriteContext } from "./resource-definition.ts";

export interface Thing extends KubeObject {
  spec?: {
    replicas?: number;
    node?: string;
    selector?: { matchLabels: Record<string, string> };
    grace?: number;
  };
  status?: { phase?: string; replicas?: number };
}

/** JSON only, no schema: every object is accepted as it is. */
const plainCodec: Codec = {
  parse: (bytes) => ({ value: JSON.parse(new TextDecoder().decode(bytes)), problems: [] }),
  decode: (_definition, value) => ({ object: value as KubeObject, problems: [] }),
  fillDefaults: (definition, object) => definition.defaults(object),
  mergeType: () => deduced,
  emptyObject: () => ({}),
  strategicMerge: (_definition, original, patch) => mergePatch(original, patch),
};

function prepare(thing: Thing, context: WriteContext<Thing>): void {
  const old = context.old as Thing | undefined;
  if (old === undefined) {
    delete thing.status;
    thing.metadata.generation = 1;
  } else if (context.subresource === "status") {
    if (old.spec !== undefined) thing.spec = old.spec;
  } else {
    if (old.status !== undefined) thing.status = old.status;
    if (!sameJson(thing.spec, old.spec)) {
      thing.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
  }
}

function row(identity: Resource<Thing>, more: Partial<ResourceDefinition<Thing>> = {}) {
  const definition: ResourceDefinition<Thing> = {
    ...identity,
    singular: identity.kind.toLowerCase(),
    shortNames: [],
    categories: [],
    verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    typeName: `test.${identity.kind}`,
    columns: [
      {
        name: "Name",
        type: "string",
        format: "name",
        description: "",
        priority: 0,
        value: (thing) => thing.metadata.name ?? "",
      },
      {
        name: "Phase",
        type: "string",
        description: "",
        priority: 0,
        value: (thing) => thing.status?.phase ?? "",
      },
    ],
    fields: { "spec.node": (thing) => thing.spec?.node ?? "" },
    defaults: () => {},
    strategy: {
      prepare,
      validate: (thing) =>
        (thing.spec?.replicas ?? 0) < 0
          ? [
              {
                type: "FieldValueInvalid",
                field: "spec.replicas",
                value: thing.spec?.replicas,
                detail: "must be greater than or equal to 0",
              },
            ]
          : [],
    },
    subresources: {
      status: { type: "status" },
      scale: {
        type: "scale",
        replicas: "spec.replicas",
        statusReplicas: "status.replicas",
        selector: "spec.selector",
      },
    },
    storagePrefix: identity.plural,
    ...more,
  };
  return definition as unknown as ResourceDefinition;
}

/** Namespaced, plain deletion. */
export const things: Resource<Thing> = {
  group: "example.com",
  version: "v1",
  plural: "things",
  kind: "Thing",
  namespaced: true,
};
/** Namespaced, deleted gracefully. */
export const pods: Resource<Thing> = {
  group: "",
  version: "v1",
  plural: "pods",
  kind: "Pod",
  namespaced: true,
};
/** Cluster-scoped. */
export const nodes: Resource<Thing> = {
  group: "",
  version: "v1",
  plural: "nodes",
  kind: "Node",
  namespaced: false,
};

const definitions = [
  row(things),
  row(pods, {
    strategy: {
      prepare,
      graceSeconds: (pod, asked) => (pod.spec?.node ? (asked ?? pod.spec.grace ?? 30) : 0),
    },
  }),
  row(nodes, { strategy: { prepare, createOnUpdate: true, unconditionalUpdate: false } }),
];

const allowAll: Authorizer = { authorize: async () => ({ allowed: true, reason: "" }) };

export function createTestWorld(
  options: { authorizer?: Authorizer; admission?: readonly AdmissionPlugin[] } = {},
) {
  const runtime = createSimulatedRuntime(1);
  const store = openMemoryStore(runtime);
  const registry = createRegistry(definitions);
  const live = createStoreLiveSets({
    store,
    locate: locateIn(registry),
    freeze: true,
    onError: (error) => {
      throw error;
    },
  });
  const pipeline = createPipeline({
    store,
    registry,
    runtime,
    live,
    codec: plainCodec,
    authorizer: options.authorizer ?? allowAll,
    admission: options.admission ?? [],
  });
  const client = pipeline.clientOf(serverUser);
  return { runtime, store, registry, live, pipeline, client };
}

/** A request as HTTP would make it. */
export function requestFor(
  resource: Resource<Thing>,
  verb: ApiRequest["verb"],
  more: Partial<Omit<ApiRequest, "query" | "body">> & {
    readonly query?: Readonly<Record<string, string>>;
    readonly body?: unknown;
  } = {},
): ApiRequest {
  const { query, body, ...rest } = more;
  return {
    verb,
    resource,
    subresource: "",
    namespace: resource.namespaced ? "default" : "",
    name: "",
    rest: "",
    method: "GET",
    accept: "",
    userAgent: "test",
    user: serverUser,
    contentType: "application/json",
    signal: new AbortController().signal,
    ...rest,
    query: new URLSearchParams(query),
    body: body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body)),
  };
}

export function thing(name: string, more: Partial<Thing> = {}): Thing {
  return {
    apiVersion: "example.com/v1",
    kind: "Thing",
    ...more,
    metadata: { name, namespace: "default", ...more.metadata },
  };
}
