/** The condition Dangling of flow schemas: whether the level they lead to exists. */
import type { Client } from "../../client/client.ts";
import { flowSchemas } from "../../client/resources.ts";
import type { FlowSchemaCondition } from "../../gen/flowcontrol-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { LiveSchema } from "./priority-levels.ts";

const fieldManager = "api-priority-and-fairness-config-consumer-v1";

/** What the condition must say; undefined when it does already. */
export function planDangling(
  { spec, status }: LiveSchema,
  exists: boolean,
  now: Date,
): FlowSchemaCondition | undefined {
  const known = status?.conditions?.find(({ type }) => type === "Dangling");
  const level = JSON.stringify(spec.priorityLevelConfiguration.name);
  const about = `This FlowSchema references the PriorityLevelConfiguration object named ${level}`;
  const wanted = exists
    ? { status: "False", reason: "Found", message: `${about} and it exists` }
    : { status: "True", reason: "NotFound", message: `${about} but there is no such object` };
  const isSame =
    known?.status === wanted.status &&
    known.reason === wanted.reason &&
    known.message === wanted.message;
  if (isSame) return undefined;
  const lastTransitionTime = `${now.toISOString().slice(0, 19)}Z`;
  return { type: "Dangling", ...wanted, lastTransitionTime };
}

/** Writes the condition where it is not right. */
export async function applyDangling(
  client: Client,
  schemas: readonly LiveSchema[],
  exists: (level: string) => boolean,
  now: Date,
): Promise<void> {
  for (const schema of schemas) {
    const found = exists(schema.spec.priorityLevelConfiguration.name);
    const condition = planDangling(schema, found, now);
    if (condition === undefined) continue;
    const { apiVersion, kind } = schema;
    const { name = "" } = schema.metadata;
    const body = { apiVersion, kind, metadata: { name }, status: { conditions: [condition] } };
    const options = { subresource: "status", fieldManager, force: true };
    try {
      await client.patch(flowSchemas, "", name, "apply", body, options);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}
