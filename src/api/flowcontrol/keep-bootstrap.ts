/**
 * Keeps the bootstrap objects there and up to date: mandatory ones always, suggested ones unless
 * someone has taken them over; such that no version of k3 suggests any more are removed.
 */
import type { Client, Resource } from "../../client/client.ts";
import { flowSchemas, priorityLevelConfigurations } from "../../client/resources.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../../gen/flowcontrol-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { LiveSets } from "../../live/live-set.ts";
import { copyJson } from "../../schema/copy.ts";
import {
  autoupdateAnnotation,
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from "./bootstrap-objects.ts";

type Kept = FlowSchema | PriorityLevelConfiguration;

const fieldManager = "api-priority-and-fairness-config-producer-v1";
const trueTexts: readonly string[] = ["1", "t", "T", "true", "TRUE", "True"];
const falseTexts: readonly string[] = ["0", "f", "F", "false", "FALSE", "False"];

export async function keepBootstrapObjects(client: Client, live: LiveSets): Promise<void> {
  const levels = { suggested: suggestedPriorityLevels, mandatory: mandatoryPriorityLevels };
  const schemas = { suggested: suggestedFlowSchemas, mandatory: mandatoryFlowSchemas };
  await keepAll(client, live, priorityLevelConfigurations, levels);
  await keepAll(client, live, flowSchemas, schemas);
  await removeAll(client, live, flowSchemas, schemas);
  await removeAll(client, live, priorityLevelConfigurations, levels);
}

interface Wanted<T> {
  readonly suggested: readonly T[];
  readonly mandatory: readonly T[];
}

async function keepAll<T extends Kept>(
  client: Client,
  live: LiveSets,
  resource: Resource<T>,
  { suggested, mandatory }: Wanted<T>,
): Promise<void> {
  const set = live.of(resource);
  const keep = async (wanted: T, isMandatory: boolean): Promise<void> => {
    const current = set.get(wanted.metadata.name ?? "")?.object;
    try {
      if (current === undefined)
        await client.create(resource, copyJson<T>(wanted), { fieldManager });
      else {
        const revised = planRevision<T>(current, wanted, isMandatory);
        if (revised !== undefined) await client.update(resource, revised, { fieldManager });
      }
    } catch (error) {
      // Someone else was faster: the next round looks again.
      const isRace = isReason(error, "AlreadyExists") || isReason(error, "Conflict");
      if (!isRace && !isReason(error, "NotFound")) throw error;
    }
  };
  for (const wanted of suggested) await keep(wanted, false);
  for (const wanted of mandatory) await keep(wanted, true);
}

async function removeAll<T extends Kept>(
  client: Client,
  live: LiveSets,
  resource: Resource<T>,
  { suggested, mandatory }: Wanted<T>,
): Promise<void> {
  const names = new Set([...suggested, ...mandatory].map(({ metadata }) => metadata.name));
  for (const { key, object } of [...live.of(resource).list()]) {
    const { annotations, name } = object.metadata;
    const isOurs = trueTexts.includes(annotations?.[autoupdateAnnotation] ?? "");
    if (!isOurs || names.has(name)) continue;
    try {
      await client.delete(resource, "", key);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}

/** The object as it should be; undefined when it is so already. */
export function planRevision<T extends Kept>(
  current: DeepReadonly<T>,
  wanted: T,
  isMandatory: boolean,
): T | undefined {
  const text = current.metadata.annotations?.[autoupdateAnnotation] ?? "";
  const isTrue = trueTexts.includes(text);
  const isFalse = falseTexts.includes(text);
  // Without a word on it, an object that was never changed is still ours.
  const isOurs = isMandatory || isTrue || (!isFalse && current.metadata.generation === 1);
  const saysSo = isOurs ? isTrue : isFalse;
  const mustChange = isOurs && !hasSpec(current, wanted);
  if (saysSo && !mustChange) return undefined;
  const revised = copyJson<T>(current as T);
  if (mustChange) revised.spec = copyJson<Kept>(wanted).spec;
  if (!saysSo) {
    const annotations = { ...revised.metadata.annotations, [autoupdateAnnotation]: String(isOurs) };
    revised.metadata.annotations = annotations;
  }
  return revised;
}

/** An administrator may give shares to exempt requests: that part is theirs. */
function hasSpec(current: DeepReadonly<Kept>, wanted: Kept): boolean {
  if (!("exempt" in wanted.spec)) return semanticEqual(current.spec, wanted.spec);
  const { exempt } = current.spec as PriorityLevelConfiguration["spec"];
  return exempt !== undefined && semanticEqual({ ...wanted.spec, exempt }, current.spec);
}
