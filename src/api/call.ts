/** What every step of one request has at hand. */
import type { Client } from "../client/client.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { StoreLiveSets } from "../live/store-feed.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Store } from "../store/store.ts";
import type { AdmissionMetrics } from "./admission-metrics.ts";
import type { AdmissionPlugin } from "./admission-plugin.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Codec } from "./codec.ts";
import type { WatchCounts } from "./flowcontrol/watch-counts.ts";
import type { Registry } from "./registry.ts";
import type { ApiRequest } from "./request.ts";
import type { FieldError, ResourceDefinition, WriteContext } from "./resource-definition.ts";
import type { WatchTimes } from "./watch-times.ts";

/** What the pipeline is made of. */
export interface Parts {
  readonly store: Store;
  readonly registry: Registry;
  readonly runtime: Runtime;
  readonly authorizer: Authorizer;
  readonly admission: readonly AdmissionPlugin[];
  readonly admissionMetrics?: AdmissionMetrics;
  /** Is told of each use of a kind that is deprecated. */
  readonly deprecated?: (request: ApiRequest) => void;
  readonly live: StoreLiveSets;
  readonly codec: Codec;
  /** The server itself as a client, for admission and actions. */
  readonly client: Client;
  /** How long a watch lasts at least when its client does not say; half an hour by default. */
  readonly minRequestTimeoutSeconds?: number;
  /** Where watches under way are counted. */
  readonly watches?: WatchCounts;
  /** Tells watches when it is time for them. */
  readonly watchTimes: WatchTimes;
}

/** One request under way. */
export interface Call {
  readonly parts: Parts;
  readonly request: ApiRequest;
  readonly definition: ResourceDefinition;
  /** Nothing is stored. */
  readonly dryRun: boolean;
  readonly fieldValidation: "Ignore" | "Warn" | "Strict";
  readonly now: Date;
  readonly warnings: string[];
}

export function writeContext(
  call: Call,
  verb: "create" | "update",
  old: DeepReadonly<KubeObject> | undefined,
): WriteContext<KubeObject> {
  const { parts, request } = call;
  return {
    verb,
    subresource: request.subresource,
    old,
    user: request.user,
    dryRun: call.dryRun,
    now: call.now,
    runtime: parts.runtime,
    live: parts.live,
  };
}

/** The errors of what the strategy has to ask others about. */
export async function permissionErrors(
  call: Call,
  object: KubeObject,
  context: WriteContext<KubeObject>,
): Promise<readonly FieldError[]> {
  const { definition, parts, request } = call;
  const asked = { ...context, authorizer: parts.authorizer, request };
  return (await definition.strategy.permit?.(object, asked)) ?? [];
}
