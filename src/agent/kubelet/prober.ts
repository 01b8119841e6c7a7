/** Runs the probes of running containers and keeps their verdicts. */

import type { EventRecorder } from "../../live/events.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriClient } from "../cri/client.ts";
import { runHandler } from "./handlers.ts";
import { fieldPathOf, type NamedContainer, type Pod, type Probe } from "./types.ts";

type ProbeKind = "startup" | "liveness" | "readiness";

const words: Readonly<Record<ProbeKind, string>> = {
  startup: "Startup",
  liveness: "Liveness",
  readiness: "Readiness",
};

/** A running container to be probed. */
export interface ProbeTarget {
  readonly pod: Pod;
  readonly named: NamedContainer;
  readonly containerId: string;
  readonly podIp: string;
  readonly startedMs: number;
}

interface Probed {
  readonly target: ProbeTarget;
  readonly stop: AbortController;
  started: boolean;
  ready: boolean;
  condemned: string | undefined;
}

export interface ProberOptions {
  readonly runtime: Runtime;
  readonly cri: CriClient;
  readonly events: EventRecorder;
  /** Called with the pod's uid when a verdict changed. */
  readonly onChange: (uid: string) => void;
}

export class Prober {
  readonly metrics = createMetrics();
  readonly #total = this.metrics.counter(
    "prober_probe_total",
    "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
  );
  readonly #options: ProberOptions;
  readonly #probed = new Map<string, Probed>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Starts the probes of containers not yet known; `known` tells what the API said before. */
  add(target: ProbeTarget, known: { readonly started: boolean; readonly ready: boolean }): void {
    if (this.#probed.has(target.containerId)) return;
    const { container } = target.named;
    const probed: Probed = {
      target,
      stop: new AbortController(),
      started: container.startupProbe === undefined || known.started,
      ready: container.readinessProbe === undefined || known.ready,
      condemned: undefined,
    };
    this.#probed.set(target.containerId, probed);
    if (!probed.started) this.#run(probed, "startup", container.startupProbe);
    else this.#afterStart(probed);
  }

  remove(containerId: string): void {
    this.#probed.get(containerId)?.stop.abort();
    this.#probed.delete(containerId);
  }

  /** Liveness and startup probes end with the pod; readiness goes on until the container does. */
  hold(containerId: string): void {
    const probed = this.#probed.get(containerId);
    if (probed !== undefined) probed.condemned = undefined;
  }

  verdict(
    containerId: string,
  ): { started: boolean; ready: boolean; condemned: string | undefined } | undefined {
    return this.#probed.get(containerId);
  }

  stopAll(): void {
    for (const id of [...this.#probed.keys()]) this.remove(id);
  }

  #afterStart(probed: Probed): void {
    const { container } = probed.target.named;
    this.#run(probed, "liveness", container.livenessProbe);
    this.#run(probed, "readiness", container.readinessProbe);
  }

  #run(probed: Probed, kind: ProbeKind, probe: Probe | undefined): void {
    if (probe === undefined) return;
    void this.#loop(probed, kind, probe).catch((error: unknown) => {
      this.#options.runtime.log.error("A probe loop ended", { error: `${error}` });
    });
  }

  async #loop(probed: Probed, kind: ProbeKind, probe: Probe): Promise<void> {
    const { clock } = this.#options.runtime;
    const { signal } = probed.stop;
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    // Where the clock was set back, the container has started in times to come.
    const passedMs = Math.max(0, clock.now().getTime() - probed.target.startedMs);
    await clock.sleep((probe.initialDelaySeconds ?? 0) * 1000 - passedMs, signal);
    let [successes, failures] = [0, 0];
    while (!signal.aborted) {
      const result = await this.#once(probed, probe);
      if (signal.aborted) return;
      this.#count(probed.target, kind, result.ok);
      successes = result.ok ? successes + 1 : 0;
      failures = result.ok ? 0 : failures + 1;
      if (!result.ok) this.#tell(probed, kind, result.output);
      const over = this.#judge(probed, kind, {
        good: successes >= (probe.successThreshold ?? 1),
        bad: failures >= (probe.failureThreshold ?? 3),
      });
      if (over) return;
      await clock.sleep(periodMs, signal);
    }
  }

  async #once(
    probed: Probed,
    probe: Probe,
  ): Promise<{ readonly ok: boolean; readonly output: string }> {
    const { runtime, cri } = this.#options;
    const { pod, named, containerId, podIp } = probed.target;
    return await runHandler(
      {
        purpose: "probe",
        runtime,
        cri,
        pod,
        container: named.container,
        containerId,
        podIp,
        timeoutMs: (probe.timeoutSeconds ?? 1) * 1000,
        signal: probed.stop.signal,
      },
      probe,
    );
  }

  #count({ pod, named }: ProbeTarget, kind: ProbeKind, ok: boolean): void {
    const { name = "", namespace = "", uid = "" } = pod.metadata;
    this.#total.add({
      probe_type: words[kind],
      result: ok ? "successful" : "failed",
      container: named.container.name,
      pod: name,
      namespace,
      pod_uid: uid,
    });
  }

  #tell(probed: Probed, kind: ProbeKind, output: string): void {
    const { pod, named } = probed.target;
    const fieldPath = fieldPathOf(named);
    const text = `${words[kind]} probe failed: ${output}`;
    this.#options.events.event(pod, "Warning", "Unhealthy", text, { fieldPath });
  }

  /** Takes the verdict in; true when this probe has nothing more to find out. */
  #judge(
    probed: Probed,
    kind: ProbeKind,
    seen: { readonly good: boolean; readonly bad: boolean },
  ): boolean {
    const uid = probed.target.pod.metadata.uid ?? "";
    const { name } = probed.target.named.container;
    switch (kind) {
      case "readiness": {
        const ready = seen.good ? true : seen.bad ? false : probed.ready;
        if (ready !== probed.ready) {
          probed.ready = ready;
          this.#options.onChange(uid);
        }
        return false;
      }
      case "startup":
      case "liveness": {
        if (seen.bad) {
          probed.condemned = `Container ${name} failed ${kind} probe, will be restarted`;
          this.#options.onChange(uid);
          return true;
        }
        if (kind === "liveness" || !seen.good) return false;
        probed.started = true;
        this.#afterStart(probed);
        this.#options.onChange(uid);
        return true;
      }
    }
  }
}
