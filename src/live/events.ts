/** Records Kubernetes Events about objects, with upstream's correlation of repeats. */

import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { KubeObject } from "../schema/object.ts";

export interface EventRecorder {
  /** Fire and forget: a failure is logged, never thrown. `fieldPath` names a container. */
  event(
    about: DeepReadonly<KubeObject>,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    options?: {
      readonly fieldPath?: string;
      readonly annotations?: Readonly<Record<string, string>>;
    },
  ): void;
}
