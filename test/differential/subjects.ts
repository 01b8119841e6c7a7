/** The kinds that are exercised: where each is served and one valid object of it. */
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { isObject, type Json, type JsonObject } from "./client.ts";
import type { Pair } from "./pair.ts";

export interface Subject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly isNamespaced: boolean;
  readonly subresources: readonly string[];
  /** The path of the collection. */
  readonly collection: string;
  /** A fresh valid object of that name. */
  object(name: string): JsonObject;
  /** The name that objects of this kind have instead of `base`. */
  nameFor(base: string): string;
}

export const namespace = "diff";

export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let found = value;
  for (const name of path) found = isObject(found) ? found[name] : undefined;
  return found;
}

function nameFor(kind: string, base: string): string {
  if (kind === "CustomResourceDefinition") return `widgets.${base}.example.com`;
  if (kind === "APIService") return `v1.${base}.example.com`;
  return base;
}

function objectOf(template: JsonObject, isNamespaced: boolean, base: string): JsonObject {
  const text = JSON.stringify(template)
    .replaceAll("NAMESPACE", namespace)
    .replaceAll("GROUP", `${base}.example.com`);
  const object = JSON.parse(text) as JsonObject;
  const name = nameFor(String(template.kind), base);
  const where = isNamespaced ? { namespace } : {};
  object.metadata = { name, ...where, ...(object.metadata as JsonObject) };
  return object;
}

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Reads objects.yaml and asks upstream's discovery where each kind is. */
export async function readSubjects(pair: Pair): Promise<readonly Subject[]> {
  const text = await Bun.file(join(import.meta.dir, "objects.yaml")).text();
  const templates = parseAllDocuments(text).map((one) => one.toJS() as JsonObject);
  const subjects: Subject[] = [];
  for (const template of templates) {
    const { apiVersion, kind } = template as { apiVersion: string; kind: string };
    const root = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`;
    const { upstream } = await pair.ask({ method: "GET", path: root });
    const resources = (at(upstream.body, "resources") ?? []) as unknown as readonly Resource[];
    const own = resources.find((one) => one.kind === kind && !one.name.includes("/"));
    if (own === undefined) continue;
    const { name: plural, namespaced } = own;
    const parts = resources.filter((one) => one.name.startsWith(`${plural}/`));
    subjects.push({
      apiVersion,
      kind,
      plural,
      isNamespaced: namespaced,
      subresources: parts.map((one) => one.name.slice(plural.length + 1)),
      collection: namespaced ? `${root}/namespaces/${namespace}/${plural}` : `${root}/${plural}`,
      object: (base) => objectOf(template, namespaced, base),
      nameFor: (base) => nameFor(kind, base),
    });
  }
  return subjects;
}
