/** The HorizontalPodAutoscaler controller: sizes workloads by what their pods' metrics say. */
import type { Resource } from "../../client/client.ts";
import { horizontalPodAutoscalers, pods } from "../../client/resources.ts";
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerCondition,
  HorizontalPodAutoscalerStatus,
  MetricStatus,
} from "../../gen/autoscaling-v2.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { matchesLabels, parseLabelSelector } from "../../lib/selector.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import type { KubeObject } from "../../schema/object.ts";
import { formatTime, isDeleting, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { textOf } from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import { AutoscalerMetrics } from "./autoscaler-metrics.ts";
import { type History, limitReplicas, type Recommendation, type ScaleEvent } from "./behavior.ts";
import { MetricsReader } from "./metrics.ts";
import { MetricError, type MetricProposal, proposalOf } from "./proposals.ts";

export interface AutoscalerOptions {
  readonly metrics: Metrics;
  /** Every namespaced resource of the API, custom ones included; some have a size. */
  readonly namespacedResources: () =>
    | readonly Resource<KubeObject>[]
    | Promise<readonly Resource<KubeObject>[]>;
}

type Live = DeepReadonly<HorizontalPodAutoscaler>;

interface Scale extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly replicas?: number; readonly selector?: string };
}

const syncMs = 15_000;
/** Older recommendations and changes count for no window. */
const historyMsMax = 3_600_000;

/** Creates the HorizontalPodAutoscaler controller. */
export function createAutoscalerController(
  context: ControllerContext,
  options: AutoscalerOptions,
): Controller {
  const set = context.live.of(horizontalPodAutoscalers);
  const reconciler = new AutoscalerReconciler(context, options);
  return {
    name: "horizontal-pod-autoscaler",
    concurrent: 5,
    watches: [
      watchRule(horizontalPodAutoscalers, ({ now, before }) => {
        const isSpecChange = before?.object.metadata.generation !== now.object.metadata.generation;
        return isSpecChange || before === undefined ? [now.key] : [];
      }),
    ],
    async reconcile(key, signal) {
      const autoscaler = set.get(key)?.object;
      if (autoscaler !== undefined && !isDeleting(autoscaler)) {
        return await reconciler.reconcile(autoscaler, key, signal);
      }
      reconciler.forget(key);
      return "done";
    },
  };
}

/** What one round has found out; written to the status at its end. */
interface Round {
  readonly autoscaler: Live;
  readonly status: HorizontalPodAutoscalerStatus;
  readonly conditions: HorizontalPodAutoscalerCondition[];
  readonly now: Date;
  /** By how many replicas the target was made larger. */
  change: number;
  isFailed: boolean;
}

interface MutableHistory {
  recommendations: Recommendation[];
  ups: ScaleEvent[];
  downs: ScaleEvent[];
}

class AutoscalerReconciler {
  readonly #context: ControllerContext;
  readonly #options: AutoscalerOptions;
  readonly #metrics: AutoscalerMetrics;
  readonly #reader: MetricsReader;
  readonly #writes: OwnWrites<HorizontalPodAutoscaler>;
  readonly #histories = new Map<string, MutableHistory>();

  constructor(context: ControllerContext, options: AutoscalerOptions) {
    this.#context = context;
    this.#options = options;
    this.#metrics = new AutoscalerMetrics(options.metrics, context.runtime.clock);
    this.#reader = new MetricsReader(context.client);
    const set = context.live.of(horizontalPodAutoscalers);
    this.#writes = new OwnWrites(context.client, horizontalPodAutoscalers, set);
  }

  forget(key: string): void {
    this.#histories.delete(key);
  }

  async reconcile(autoscaler: Live, key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#writes.seen(signal);
    const done = this.#metrics.reconciles();
    const round: Round = {
      autoscaler,
      status: {
        ...mutable<HorizontalPodAutoscalerStatus>(autoscaler.status ?? { desiredReplicas: 0 }),
        observedGeneration: autoscaler.metadata.generation ?? 0,
      },
      conditions: mutable<HorizontalPodAutoscalerCondition[]>(autoscaler.status?.conditions ?? []),
      now: this.#context.runtime.clock.now(),
      change: 0,
      isFailed: false,
    };
    await this.#scale(round, key);
    done(round);
    const status = { ...round.status, conditions: round.conditions };
    if (!sameJson(autoscaler.status ?? {}, status)) {
      const changed = { ...mutable<HorizontalPodAutoscaler>(autoscaler), status };
      await this.#writes.update(changed, { subresource: "status" });
    }
    return { againInMs: syncMs };
  }

  async #scale(round: Round, key: string): Promise<void> {
    const { autoscaler, status } = round;
    const { events } = this.#context;
    const found = await this.#readScale(round);
    if (found === undefined) return;
    const { scale, resource } = found;
    const current = scale.spec?.replicas ?? 0;
    status.currentReplicas = current;
    const history = this.#historyOf(key, current, round.now.getTime());
    const { maxReplicas, minReplicas = 1 } = autoscaler.spec;
    let desired = current;
    let reason = "";
    if (current === 0 && minReplicas !== 0) {
      const message = "scaling is disabled since the replica count of the target is zero";
      setCondition(round, "ScalingActive", "False", "ScalingDisabled", message);
      desired = 0;
    } else if (current > maxReplicas) {
      reason = "Current number of replicas above Spec.MaxReplicas";
      desired = maxReplicas;
    } else if (current < minReplicas) {
      reason = "Current number of replicas below Spec.MinReplicas";
      desired = minReplicas;
    } else {
      const proposed = await this.#propose(round, scale);
      if (proposed === undefined) return;
      if (proposed.replicas > current) reason = `${proposed.name} above target`;
      if (proposed.replicas < current) reason = "All metrics below target";
      desired = this.#limit(round, history, current, proposed.replicas);
    }
    status.desiredReplicas = desired;
    if (desired === current) return;
    try {
      await this.#writeScale(resource, scale, desired);
    } catch (error) {
      const text = textOf(error);
      const message = `New size: ${desired}; reason: ${reason}; error: ${text}`;
      events.event(autoscaler, "Warning", "FailedRescale", message);
      const told = `the HPA controller was unable to update the target scale: ${text}`;
      setCondition(round, "AbleToScale", "False", "FailedUpdateScale", told);
      status.desiredReplicas = current;
      return;
    }
    const told = `the HPA controller was able to update the target scale to ${desired}`;
    setCondition(round, "AbleToScale", "True", "SucceededRescale", told);
    const message = `New size: ${desired}; reason: ${reason}`;
    events.event(autoscaler, "Normal", "SuccessfulRescale", message);
    round.change = desired - current;
    status.lastScaleTime = formatTime(round.now);
    const atMs = round.now.getTime();
    if (desired > current) history.ups.push({ change: desired - current, atMs });
    else history.downs.push({ change: current - desired, atMs });
  }

  /** After a restart the present size counts as recommended: nothing shrinks at once. */
  #historyOf(key: string, current: number, nowMs: number): MutableHistory {
    let history = this.#histories.get(key);
    if (history === undefined) {
      const first = { replicas: current, atMs: nowMs };
      history = { recommendations: [first], ups: [], downs: [] };
      this.#histories.set(key, history);
    }
    const isRecent = ({ atMs }: { readonly atMs: number }) => atMs > nowMs - historyMsMax;
    history.recommendations = history.recommendations.filter(isRecent);
    history.ups = history.ups.filter(isRecent);
    history.downs = history.downs.filter(isRecent);
    return history;
  }

  #limit(round: Round, history: MutableHistory, current: number, desired: number): number {
    const { behavior, maxReplicas: max, minReplicas: min = 1 } = round.autoscaler.spec;
    const nowMs = round.now.getTime();
    const wish = { current, desired, min, max, nowMs };
    const { replicas, ableToScale, limited } = limitReplicas(behavior, history as History, wish);
    history.recommendations.push({ replicas: desired, atMs: nowMs });
    setCondition(round, "AbleToScale", "True", ableToScale.reason, ableToScale.message);
    setCondition(round, "ScalingLimited", limited.status, limited.reason, limited.message);
    return replicas;
  }

  async #resourceOf(
    reference: DeepReadonly<CrossVersionObjectReference>,
  ): Promise<Resource<KubeObject>> {
    const { apiVersion = "v1", kind } = reference;
    const slash = apiVersion.indexOf("/");
    const group = slash < 0 ? "" : apiVersion.slice(0, slash);
    const resources = await this.#options.namespacedResources();
    const found = resources.find((one) => one.kind === kind && one.group === group);
    if (found !== undefined) return found;
    throw new Error(`no matches for kind "${kind}" in version "${apiVersion}"`);
  }

  async #readScale(
    round: Round,
  ): Promise<{ readonly scale: Scale; readonly resource: Resource<KubeObject> } | undefined> {
    const { autoscaler } = round;
    const { scaleTargetRef } = autoscaler.spec;
    const { namespace = "" } = autoscaler.metadata;
    try {
      const resource = await this.#resourceOf(scaleTargetRef);
      const scale = await this.#context.client.get<Scale>(
        resource as Resource<Scale>,
        namespace,
        scaleTargetRef.name,
        { subresource: "scale" },
      );
      const message = "the HPA controller was able to get the target's current scale";
      setCondition(round, "AbleToScale", "True", "SucceededGetScale", message);
      return { scale, resource };
    } catch (error) {
      const text = textOf(error);
      this.#context.events.event(autoscaler, "Warning", "FailedGetScale", text);
      const message = `the HPA controller was unable to get the target's current scale: ${text}`;
      setCondition(round, "AbleToScale", "False", "FailedGetScale", message);
      return undefined;
    }
  }

  async #writeScale(resource: Resource<KubeObject>, scale: Scale, replicas: number): Promise<void> {
    const changed = { ...scale, spec: { ...scale.spec, replicas } };
    await this.#context.client.update(resource as Resource<Scale>, changed, {
      subresource: "scale",
    });
  }

  /** The largest of the metrics' proposals; undefined when they say too little. */
  async #propose(round: Round, scale: Scale): Promise<MetricProposal | undefined> {
    const { autoscaler } = round;
    const selector = scale.status?.selector ?? "";
    const selected = this.#selected(round, selector);
    if (selected === undefined) return undefined;
    const { metrics = [] } = autoscaler.spec;
    const statuses: MetricStatus[] = [];
    const failures: MetricError[] = [];
    let best: MetricProposal | undefined;
    for (const metric of metrics) {
      const computed = this.#metrics.computes(metric.type);
      try {
        const proposal = await proposalOf(metric, {
          autoscaler,
          specReplicas: scale.spec?.replicas ?? 0,
          statusReplicas: scale.status?.replicas ?? 0,
          selector,
          pods: selected,
          reader: this.#reader,
          resourceOf: (reference) => this.#resourceOf(reference),
          nowMs: round.now.getTime(),
        });
        statuses.push(proposal.status);
        const change = proposal.replicas - (round.status.currentReplicas ?? 0);
        computed({ change, isFailed: false });
        if (best === undefined || proposal.replicas > best.replicas) best = proposal;
      } catch (error) {
        if (!(error instanceof MetricError)) throw error;
        this.#context.events.event(autoscaler, "Warning", error.reason, error.message);
        failures.push(error);
        computed({ change: 0, isFailed: true });
      }
    }
    if (statuses.length > 0) round.status.currentMetrics = statuses;
    return this.#judge(round, metrics.length, failures, best, scale.spec?.replicas ?? 0);
  }

  #judge(
    round: Round,
    total: number,
    failures: readonly MetricError[],
    best: MetricProposal | undefined,
    current: number,
  ): MetricProposal | undefined {
    const [first] = failures;
    // With a metric unknown the others may ask for more, never for less.
    const isUnsure = failures.length > 0 && best !== undefined && best.replicas < current;
    if (first !== undefined && (best === undefined || isUnsure)) {
      const message = `the HPA was unable to compute the replica count: ${first.message}`;
      setCondition(round, "ScalingActive", "False", first.reason, message);
      const text =
        `invalid metrics (${failures.length} invalid out of ${total}), first error is: ` +
        first.message;
      const reason = "FailedComputeMetricsReplicas";
      this.#context.events.event(round.autoscaler, "Warning", reason, text);
      return undefined;
    }
    const message = `the HPA was able to successfully calculate a replica count from ${best?.name}`;
    setCondition(round, "ScalingActive", "True", "ValidMetricFound", message);
    return best;
  }

  /** The target's pods; undefined when it does not say which they are. */
  #selected(round: Round, selector: string): readonly LivePod[] | undefined {
    const { autoscaler } = round;
    if (selector === "") {
      this.#context.events.event(autoscaler, "Warning", "SelectorRequired", "selector is required");
      const message = "the HPA target's scale is missing a selector";
      setCondition(round, "ScalingActive", "False", "InvalidSelector", message);
      return undefined;
    }
    const matcher = parseLabelSelector(selector);
    const prefix = `${autoscaler.metadata.namespace}/`;
    return Array.from(this.#context.live.of(pods).list(prefix), ({ object }) => object).filter(
      (pod) => matchesLabels(matcher, pod.metadata.labels),
    );
  }
}

function setCondition(
  round: Round,
  type: string,
  status: "True" | "False",
  reason: string,
  message: string,
): void {
  const { conditions, now } = round;
  const isMeant = type === "ScalingLimited" || reason === "ScalingDisabled";
  if (status === "False" && !isMeant) round.isFailed = true;
  const at = conditions.findIndex((condition) => condition.type === type);
  const current = conditions[at];
  const lastTransitionTime =
    current?.status === status ? (current.lastTransitionTime ?? formatTime(now)) : formatTime(now);
  const condition = { type, status, reason, message, lastTransitionTime };
  if (at < 0) conditions.push(condition);
  else conditions[at] = condition;
}
