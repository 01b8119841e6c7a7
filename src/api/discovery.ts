/** What the server serves, told to clients: plain and aggregated discovery documents. */
import { createHash } from "node:crypto";
import { apiVersionOf } from "../client/request-form.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Typed } from "../schema/protobuf-encode.ts";
import { notAcceptable } from "./errors.ts";
import { type ExternalGroup, type ExternalGroups, externalResources } from "./external-groups.ts";
import { mediaTypes } from "./media.ts";
import { type Clause, parseAccept } from "./negotiate.ts";
import type { Registry } from "./registry.ts";
import type { ResourceDefinition, Subresource } from "./resource-definition.ts";

export interface Discovery {
  /** The document of a path such as `/apis/apps/v1`; undefined when there is none. */
  document(path: string, accept: string): DiscoveryDocument | undefined;
}

export interface DiscoveryDocument {
  readonly object: Typed & Readonly<Record<string, unknown>>;
  /** Set for aggregated documents, which clients cache by ETag. */
  readonly aggregated?: { readonly bytes: Uint8Array; readonly etag: string };
}

export const aggregatedType =
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/** `serverAddress` is what `/api` tells clients to connect to. */
export function createDiscovery(
  registry: Registry,
  serverAddress: string,
  external?: ExternalGroups,
): Discovery {
  let documents = new Map<string, DiscoveryDocument | undefined>();
  let generation = "";
  return {
    document(path, accept) {
      const now = `${registry.generation} ${external?.generation}`;
      if (now !== generation) {
        generation = now;
        documents = new Map();
      }
      const aggregated = (path === "/api" || path === "/apis") && wantsAggregated(accept);
      const key = aggregated ? `${path} aggregated` : path;
      if (!documents.has(key) && documents.size < 1000) {
        const made = aggregated
          ? aggregatedDocument(registry, path === "/api", external?.groups() ?? [])
          : plainDocument(registry, path, serverAddress, external?.groups() ?? []);
        documents.set(key, made);
      }
      return documents.get(key);
    },
  };
}

function isServedList({ parameters }: Pick<Clause, "parameters">): boolean {
  return (
    parameters.get("as") === "APIGroupDiscoveryList" &&
    parameters.get("g") === "apidiscovery.k8s.io" &&
    parameters.get("v") === "v2"
  );
}

/** Throws NotAcceptable for a list of discovery in a version that is not served. */
function wantsAggregated(accept: string): boolean {
  const clauses = parseAccept(accept);
  const asked = clauses.filter(({ parameters }) => parameters.has("as"));
  if (clauses.length > 0 && asked.length === clauses.length && !asked.some(isServedList))
    throw notAcceptable(Object.values(mediaTypes));
  const best = parseAccept(accept).find(
    ({ type, parameters }) =>
      type === "application/json" &&
      (parameters.get("as") === undefined || isServedList({ parameters })),
  );
  return best?.parameters.get("as") === "APIGroupDiscoveryList";
}

interface Group {
  readonly name: string;
  /** Best version first. */
  readonly versions: readonly { readonly version: string; readonly rows: ResourceDefinition[] }[];
}

function groupsOf(registry: Registry): readonly Group[] {
  const groups = new Map<string, Map<string, ResourceDefinition[]>>();
  for (const row of registry.all()) {
    const versions = groups.get(row.group) ?? new Map<string, ResourceDefinition[]>();
    groups.set(row.group, versions);
    versions.set(row.version, [...(versions.get(row.version) ?? []), row]);
  }
  return [...groups].map(([name, versions]) => ({
    name,
    versions: [...versions]
      .map(([version, rows]) => ({
        version,
        rows: rows.toSorted((a, b) => (a.plural < b.plural ? -1 : 1)),
      }))
      .sort((a, b) => compareVersions(a.version, b.version)),
  }));
}

/** Stable before beta before alpha, then the higher number; others last, by name. */
export function compareVersions(a: string, b: string): number {
  const left = versionParts(a);
  const right = versionParts(b);
  if (left === undefined || right === undefined) {
    if (left === right) return a < b ? -1 : 1;
    return left === undefined ? 1 : -1;
  }
  return right.stability - left.stability || right.major - left.major || right.minor - left.minor;
}

function versionParts(version: string) {
  const found = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (found === null) return undefined;
  const stability = found[2] === undefined ? 2 : found[2] === "beta" ? 1 : 0;
  return { stability, major: Number(found[1]), minor: Number(found[3] ?? 0) };
}

function plainDocument(
  registry: Registry,
  path: string,
  serverAddress: string,
  external: readonly ExternalGroup[],
): DiscoveryDocument | undefined {
  const groups = groupsOf(registry);
  const parts = path.split("/").slice(1);
  if (path === "/api") {
    const serverAddressByClientCIDRs = [{ clientCIDR: "0.0.0.0/0", serverAddress }];
    return {
      object: { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs },
    };
  }
  const named = groups.filter((group) => group.name !== "");
  if (path === "/apis") {
    const all = withExternal(named, external).map(groupEntry);
    return { object: { kind: "APIGroupList", apiVersion: "v1", groups: all } };
  }
  const isCore = parts[0] === "api";
  const wanted = isCore ? "" : parts[1];
  const version = isCore ? parts[1] : parts[2];
  if (version === undefined) {
    const one = withExternal(groups, external).find(({ name }) => name === wanted);
    if (one === undefined) return undefined;
    return { object: { kind: "APIGroup", apiVersion: "v1", ...groupEntry(one) } };
  }
  const group = groups.find(({ name }) => name === wanted);
  if (group === undefined) return undefined;
  const found = group.versions.find((row) => row.version === version);
  if (found === undefined || parts.length !== (isCore ? 2 : 3)) return undefined;
  return {
    object: {
      kind: "APIResourceList",
      ...(isCore ? {} : { apiVersion: "v1" }),
      groupVersion: apiVersionOf({ group: group.name, version }),
      resources: found.rows.flatMap(resourceEntries),
    },
  };
}

interface Versions {
  readonly name: string;
  readonly versions: readonly { readonly version: string }[];
}

/** Groups of here and elsewhere; the versions of one group may be served by both. */
function withExternal(own: readonly Group[], external: readonly ExternalGroup[]): Versions[] {
  const all = new Map<string, Versions>(own.map((group) => [group.name, group]));
  for (const { name, versions } of external) {
    const known = all.get(name)?.versions ?? [];
    const more = versions.filter((one) => !known.some(({ version }) => version === one.version));
    const merged = [...known, ...more].sort((a, b) => compareVersions(a.version, b.version));
    all.set(name, { name, versions: merged });
  }
  return [...all.values()];
}

function groupEntry(group: Versions) {
  const versions = group.versions.map(({ version }) => ({
    groupVersion: apiVersionOf({ group: group.name, version }),
    version,
  }));
  return { name: group.name, versions, preferredVersion: versions[0] };
}

/** Upstream lists the verbs of custom resources in an order of its own. */
const customVerbs = "delete deletecollection get list patch create update watch".split(" ");

function verbsOf(row: ResourceDefinition): readonly string[] {
  return row.custom === undefined ? [...row.verbs].sort() : customVerbs;
}

function resourceEntries(row: ResourceDefinition) {
  const main = {
    name: row.plural,
    singularName: row.singular,
    namespaced: row.namespaced,
    kind: row.kind,
    verbs: verbsOf(row),
    ...(row.shortNames.length === 0 ? {} : { shortNames: row.shortNames }),
    ...(row.categories.length === 0 ? {} : { categories: row.categories }),
    ...(row.storagePrefix === null ? {} : { storageVersionHash: storageVersionHash(row) }),
  };
  const parts = subresourcesOf(row).map(({ name, kind, verbs }) => ({
    name: `${row.plural}/${name}`,
    singularName: "",
    namespaced: row.namespaced,
    ...(kind.group === row.group && kind.version === row.version
      ? {}
      : { group: kind.group, version: kind.version }),
    kind: kind.kind,
    verbs,
  }));
  return [main, ...parts];
}

/** Kinds that upstream still stores in their last version before v1. */
const storedInBeta: ReadonlySet<string> = new Set([
  "CustomResourceDefinition",
  "MutatingAdmissionPolicy",
  "MutatingAdmissionPolicyBinding",
]);

function storageVersionHash(row: ResourceDefinition): string {
  const { group, version } = row.conversion?.storedAs ?? row;
  const isBeta = storedInBeta.has(row.kind) && row.custom === undefined;
  const stored = row.custom?.storedAs ?? (isBeta ? "v1beta1" : version);
  const text = `${group}/${stored}/${row.kind}`;
  return createHash("sha256").update(text).digest().subarray(0, 8).toString("base64");
}

export interface SubresourceEntry {
  readonly name: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: readonly string[];
  /** Its answer is between the client and who is connected to. */
  readonly connects: boolean;
}

/** The subresources of a row as discovery and OpenAPI tell them, by name. */
export function subresourcesOf(row: ResourceDefinition): readonly SubresourceEntry[] {
  return Object.entries(row.subresources)
    .sort(([a], [b]) => (a < b === (row.custom === undefined) ? -1 : 1))
    .map(([name, subresource]) => ({
      name,
      connects: subresource.type === "stream",
      ...subresourceKind(row, subresource),
    }));
}

function subresourceKind(
  row: ResourceDefinition,
  subresource: Subresource<KubeObject>,
): Omit<SubresourceEntry, "name" | "connects"> {
  const { group, version, kind } = row;
  const own = { group, version, kind };
  switch (subresource.type) {
    case "status":
      return { kind: own, verbs: ["get", "patch", "update"] };
    case "scale":
      return {
        kind: { group: "autoscaling", version: "v1", kind: "Scale" },
        verbs: ["get", "patch", "update"],
      };
    case "part":
      return { kind: own, verbs: [...subresource.verbs].sort() };
    case "action":
      return {
        kind: {
          group: subresource.group,
          version: subresource.version,
          kind: subresource.kind,
        },
        verbs: [subresource.verb],
      };
    case "stream":
      return { kind: { group, version, kind: subresource.kind }, verbs: subresource.verbs };
  }
}

function aggregatedDocument(
  registry: Registry,
  core: boolean,
  external: readonly ExternalGroup[],
): DiscoveryDocument {
  const groups = groupsOf(registry).filter((group) => (group.name === "") === core);
  const object = {
    kind: "APIGroupDiscoveryList",
    apiVersion: "apidiscovery.k8s.io/v2",
    metadata: {},
    items: mergedItems(
      groups.map((group) => ({
        name: group.name,
        versions: group.versions.map(({ version, rows }) => ({
          version,
          resources: rows.map(aggregatedResource),
          freshness: "Current",
        })),
      })),
      core ? [] : external,
    ),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(object));
  const etag = `"${createHash("sha512").update(bytes).digest("hex").toUpperCase()}"`;
  return { object, aggregated: { bytes, etag } };
}

interface Item {
  readonly name: string;
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly unknown[];
  }[];
}

function mergedItems(own: readonly Item[], external: readonly ExternalGroup[]) {
  const all = new Map(own.map((item) => [item.name, item.versions]));
  for (const { name, versions } of external) {
    const known = all.get(name) ?? [];
    const foreign = versions.map(({ version, resources }) => ({
      version,
      resources: externalResources(name, version, resources),
      freshness: "Current",
    }));
    const own = known.filter((one) => !foreign.some(({ version }) => version === one.version));
    const merged = [...own, ...foreign].sort((a, b) => compareVersions(a.version, b.version));
    all.set(name, merged);
  }
  return [...all].map(([name, versions]) => ({
    metadata: name === "" ? {} : { name },
    versions,
  }));
}

/** Kinds of the same group version are told without it. */
function isOwn(row: ResourceDefinition, kind: SubresourceEntry["kind"]): boolean {
  return kind.group === row.group && kind.version === row.version;
}

function aggregatedResource(row: ResourceDefinition) {
  const subresources = subresourcesOf(row).map(({ name, kind, verbs }) => ({
    subresource: name,
    responseKind: isOwn(row, kind) ? { group: "", version: "", kind: kind.kind } : kind,
    verbs,
  }));
  return {
    resource: row.plural,
    responseKind: { group: "", version: "", kind: row.kind },
    scope: row.namespaced ? "Namespaced" : "Cluster",
    singularResource: row.singular,
    verbs: verbsOf(row),
    ...(row.shortNames.length === 0 ? {} : { shortNames: row.shortNames }),
    ...(row.categories.length === 0 ? {} : { categories: row.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}
