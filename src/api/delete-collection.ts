/** DELETE of a collection: every selected object by itself, answered with their list. */

import { apiVersionOf } from "../client/request-form.ts";
import { isReason } from "../lib/api-error.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Call } from "./call.ts";
import { deleteNamed, readDeleteOptions } from "./delete.ts";
import { type Listed, listObjects } from "./list.ts";

import type { ApiResponse } from "./request.ts";
import { answerObject } from "./stored.ts";

export async function deleteCollection(call: Call): Promise<ApiResponse> {
  const options = readDeleteOptions(call);
  const listed = await listObjects(call);
  const items: KubeObject[] = [];
  for (const { object } of listed.objects) {
    const { name = "", namespace = "" } = object.metadata;
    try {
      const { answer } = await deleteNamed(call, name, namespace, options);
      items.push(answer.object);
    } catch (error) {
      // Someone else was faster, which is what was asked for.
      if (!isReason(error, "NotFound")) throw error;
    }
  }
  return answerObject(call, deletedList(call, listed, items));
}

function deletedList(call: Call, listed: Listed, items: readonly KubeObject[]): KubeObject {
  const { definition } = call;
  const list = {
    kind: `${definition.kind}List`,
    apiVersion: apiVersionOf(definition),
    metadata: {
      resourceVersion: String(listed.revision),
      ...(listed.continue === "" ? {} : { continue: listed.continue }),
    },
    items: items.map(({ apiVersion: _a, kind: _k, ...item }) => item),
  };
  return list as unknown as KubeObject;
}
