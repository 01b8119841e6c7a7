/** How long admission takes and how often it refuses, under upstream's names. */

import type { Labels, Metrics } from "../runtime/metrics.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { AdmissionVerb } from "./admission-plugin.ts";

export type AdmissionType = "admit" | "validating";

const prefix = "apiserver_admission_";
const buckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5];
const webhookBuckets = [...buckets, 10, 25];

type Observe = (seconds: number) => void;

/** One validation of a ValidatingAdmissionPolicy, as it is counted. */
export interface PolicyCheck {
  readonly policy: string;
  readonly binding: string;
  readonly action: "allow" | "deny" | "audit" | "warn";
  readonly error: CheckError;
}

export type CheckError = "no_error" | "compile_error" | "invalid_error" | "out_of_budget";

const checkPrefix = "apiserver_validating_admission_policy_check_";
const checkBuckets = [0.0000005, 0.001, 0.01, 0.1, 1];

/** What one kind of work is called in the labels. */
export interface AdmissionWork {
  readonly of: "controller" | "step" | "webhook";
  readonly type: AdmissionType | "validate";
  readonly operation: AdmissionVerb;
  /** Of the plugin or webhook; a step has none. */
  readonly name?: string;
}

export class AdmissionMetrics {
  readonly #histograms;
  /** Labels made once per kind of work: making them costs more than counting. */
  readonly #known = new Map<string, Observe>();
  readonly #checks;
  readonly #checkSeconds;
  readonly #clock: Pick<Clock, "monotonicMs">;

  constructor(metrics: Metrics, clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#checks = metrics.counter(
      `${checkPrefix}total`,
      "Validation admission policy check total, labeled by policy and further identified by " +
        "binding and enforcement action taken.",
    );
    this.#checkSeconds = metrics.histogram(
      `${checkPrefix}duration_seconds`,
      "Validation admission latency for individual validation expressions in seconds, labeled " +
        "by policy and further including binding and enforcement action taken.",
      checkBuckets,
    );
    this.#histograms = {
      controller: metrics.histogram(
        `${prefix}controller_admission_duration_seconds`,
        "Seconds in one admission plugin, by plugin, operation and type (validate or admit).",
        buckets,
      ),
      step: metrics.histogram(
        `${prefix}step_admission_duration_seconds`,
        "Seconds in all plugins of one type (validate or admit), by operation.",
        buckets,
      ),
      webhook: metrics.histogram(
        `${prefix}webhook_admission_duration_seconds`,
        "Seconds until one admission webhook answered, by webhook, operation and type.",
        webhookBuckets,
      ),
    };
  }

  /** A validation that failed, or could not be evaluated, and what came of it. */
  checked({ policy, binding, action, error }: PolicyCheck, seconds: number): void {
    const labels: Labels = {
      enforcement_action: action,
      error_type: error,
      policy,
      policy_binding: binding,
    };
    this.#checks.add(labels);
    this.#checkSeconds.observe(labels, seconds);
  }

  /** Does the work and tells how long it took, and whether it refused: by throwing, or so. */
  async timed<T>(
    work: AdmissionWork,
    run: () => Promise<T>,
    refuses: (result: T) => boolean = () => false,
  ): Promise<T> {
    const begunMs = this.#clock.monotonicMs();
    let isRejected = true;
    try {
      const result = await run();
      isRejected = refuses(result);
      return result;
    } finally {
      this.#observer(work, isRejected)((this.#clock.monotonicMs() - begunMs) / 1000);
    }
  }

  #observer({ of, type, operation, name }: AdmissionWork, isRejected: boolean): Observe {
    const key = `${of} ${type} ${operation} ${isRejected} ${name}`;
    let observe = this.#known.get(key);
    if (observe === undefined) {
      const labels: Labels = { operation, rejected: String(isRejected), type };
      observe = this.#histograms[of].bound(name === undefined ? labels : { name, ...labels });
      this.#known.set(key, observe);
    }
    return observe;
  }
}
