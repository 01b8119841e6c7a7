/** What runs between decoding and storing: changes objects, then refuses them. */
import type { Client } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { AdmissionMetrics } from "./admission-metrics.ts";
import type { AuditLevel } from "./audit/event.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Registry } from "./registry.ts";
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
  readonly registry: Registry;
  readonly authorizer: Authorizer;
  readonly metrics?: AdmissionMetrics | undefined;
  readonly reinvocation: Reinvocation;
  /** Prunes and defaults an object that came from outside, as if it had just been decoded. */
  normalize(object: KubeObject): void;
  /** A configuration of some fields over the whole object, as server-side apply merges; throws. */
  merge(object: unknown, configuration: unknown): unknown;
  /** Sends a Warning header with the answer. */
  warn(message: string): void;
  /** Notes something in the record of the request, at `level` (Metadata by default) and above. */
  annotate(key: string, value: string, level?: AuditLevel): void;
}

/**
 * What webhooks left for the second run through the mutating halves, which is made when one of
 * them has changed the object (KEP-492).
 */
export interface Reinvocation {
  isSecond: boolean;
  /** Set by whoever changed the object so that the others should see it again. */
  isWanted: boolean;
  /** Webhooks that were asked and may be asked again. */
  readonly eligible: Set<string>;
  /** Of these, those that have not seen the last change. */
  readonly due: Set<string>;
  /** The object as the webhooks left it. */
  left: KubeObject | undefined;
}

/**
 * Refuses by throwing ApiError. On DELETE and CONNECT `object` is the stored object. All `mutate`
 * halves run first, in order and once more when one asks for it, then all `validate` halves.
 */
export interface AdmissionPlugin {
  readonly name: string;
  /**
   * The plugin as its part of the file of `--admission-control-config-file` has it, undefined
   * where that says nothing; throws for what cannot be used. Without it the plugin takes none.
   */
  configured?(config: unknown, runtime: Runtime): Promise<AdmissionPlugin>;
  mutate?(object: KubeObject, context: AdmissionContext): Promise<void>;
  validate?(object: DeepReadonly<KubeObject>, context: AdmissionContext): Promise<void>;
}
