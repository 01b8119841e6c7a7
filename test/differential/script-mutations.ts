/** Objects that are a little wrong: created, put, patched and applied. */
import type { Exchange, JsonObject } from "./client.ts";
import type { Definitions } from "./mutate.ts";
import { Mutator } from "./mutate.ts";
import { objectOf, type Pair } from "./pair.ts";
import type { Random } from "./random.ts";
import { patch, patchTypes } from "./script-lifecycle.ts";
import type { Subject } from "./subjects.ts";

const validations = ["", "&fieldValidation=Strict", "&fieldValidation=Ignore"];

/** The name of the definition that describes a kind in upstream's OpenAPI document. */
function definitionOf(definitions: Definitions, { apiVersion, kind }: Subject): string {
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const wanted = JSON.stringify([{ group, kind, version }]);
  const found = Object.entries(definitions).find(([, { "x-kubernetes-group-version-kind": own }]) =>
    isSameKind(own, wanted),
  );
  if (found === undefined) throw new Error(`Upstream's OpenAPI document lacks ${kind}.`);
  return found[0];
}

function isSameKind(own: unknown, wanted: string): boolean {
  if (!Array.isArray(own) || own.length !== 1) return false;
  const { group, kind, version } = own[0];
  return JSON.stringify([{ group, kind, version }]) === wanted;
}

export async function mutations(
  pair: Pair,
  subjects: readonly Subject[],
  random: Random,
  count: number,
): Promise<void> {
  const { upstream } = await pair.ask({ method: "GET", path: "/openapi/v2" });
  const { definitions } = upstream.body as unknown as { definitions: Definitions };
  const mutator = new Mutator(definitions, random);
  const kept = new Set<string>();
  for (let done = 0; done < count; done++) {
    const subject = random.pick(subjects);
    const definition = definitionOf(definitions, subject);
    const base = `kept-${subject.kind.toLowerCase()}`;
    const valid = subject.object(base);
    const path = `${subject.collection}/${subject.nameFor(base)}`;
    if (random.chance(55)) {
      const body = mutator.mutate(subject.object("mutant"), definition);
      const query = `?dryRun=All${random.pick(validations)}`;
      await pair.send(`${subject.kind} create`, {
        method: "POST",
        path: subject.collection + query,
        body,
      });
      continue;
    }
    if (!kept.has(path)) {
      await pair.send(`${subject.kind} create`, {
        method: "POST",
        path: subject.collection,
        body: valid,
      });
      kept.add(path);
    }
    await change(pair, subject, { path, mutant: mutator.mutate(valid, definition), random });
  }
}

async function change(
  pair: Pair,
  { kind }: Subject,
  options: { readonly path: string; readonly mutant: JsonObject; readonly random: Random },
): Promise<void> {
  const { path, mutant, random } = options;
  const dry = `${path}?dryRun=All&fieldManager=mutator${random.pick(validations)}`;
  if (random.chance(45)) {
    const read = await pair.ask({ method: "GET", path });
    const put = (side: "upstream" | "k3"): Exchange => {
      const { metadata } = objectOf(read, side);
      const sent = { ...(metadata as JsonObject), ...(mutant.metadata as JsonObject) };
      return { method: "PUT", path: dry, body: { ...mutant, metadata: sent } };
    };
    await pair.send(`${kind} update`, put);
    return;
  }
  const type = random.pick(Object.keys(patchTypes) as (keyof typeof patchTypes)[]);
  if (type === "json") {
    const members = Object.keys(mutant).filter(
      (name) => !/^(apiVersion|kind|metadata)$/.test(name),
    );
    if (members.length === 0) return;
    const member = random.pick(members);
    const operation = { op: "replace", path: `/${member}`, value: mutant[member] ?? null };
    await pair.send(`${kind} json patch`, patch("json", dry, [operation]));
    return;
  }
  const query = type === "apply" && random.chance(50) ? "&force=true" : "";
  await pair.send(`${kind} ${type} patch`, patch(type, dry + query, mutant));
}
