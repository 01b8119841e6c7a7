/** What runs between decoding and storing: changes objects, then refuses them. */
import type { Client } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { ApiRequest } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

export type AdmissionVerb = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

export interface AdmissionContext {
  readonly request: ApiRequest;
  readonly definition: ResourceDefinition;
  /** The stored object; undefined on CREATE. */
  readonly old: DeepReadonly<KubeObject> | undefined;
  readonly verb: AdmissionVerb;
  readonly subresource: string;
  /** The namespace of the object, "" when cluster-scoped. */
  readonly namespace: string;
  /** The name of the object; "" when it will be generated. */
  readonly name: string;
  readonly dryRun: boolean;
  readonly live: LiveSets;
  readonly client: Client;
  readonly runtime: Runtime;
  /** Sends a Warning header with the answer. */
  warn(message: string): void;
}

/**
 * Refuses by throwing ApiError. On DELETE and CONNECT `object` is the stored object. All `mutate`
 * halves run first, in order, then all `validate` halves.
 */
export interface AdmissionPlugin {
  readonly name: string;
  mutate?(object: KubeObject, context: AdmissionContext): Promise<void>;
  validate?(object: DeepReadonly<KubeObject>, context: AdmissionContext): Promise<void>;
}
