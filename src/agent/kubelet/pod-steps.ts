/** The effects behind the steps of a pod plan: each is safe to repeat. */
import { pods, runtimeClasses } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import { criMessage, isCriNotFound } from "../cri/client.ts";
import { AttachLimitError } from "../csi/csi-attachments.ts";
import { createPodCgroup, removePodCgroup } from "./cgroups.ts";
import { runHandler } from "./handlers.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { logFiles } from "./log-rotation.ts";
import type { Step } from "./plan-pod.ts";
import { crashBackoffLimits } from "./plan-run.ts";
import type { PodRecord } from "./pod-record.ts";
import { resizePod } from "./resize-pod.ts";
import { podResources } from "./resources.ts";
import { placeOf, sandboxConfigOf, startContainer } from "./start-container.ts";
import { containersOf, fieldPathOf, type Pod, podLogDir } from "./types.ts";

const limits = {
  graceSecondsDefault: 30,
  /** What a container gets after its preStop hook used up the grace period. */
  graceSecondsMin: 2,
} as const;

/** Two steps with the same key never run at the same time. */
export function stepKey(step: Step): string {
  switch (step.do) {
    case "startContainer":
      return `container ${step.named.container.name}`;
    case "killContainer":
      return `kill ${step.id}`;
    case "removeContainer":
    case "stopSandbox":
    case "removeSandbox":
      return `${step.do} ${step.id}`;
    case "prepareVolumes":
    case "createSandbox":
    case "resizePod":
    case "cleanUp":
    case "finalDelete":
    case "forget":
      return step.do;
  }
}

/**
 * Does one step and tells the cache what it did to the runtime; `signal` ends with the kubelet.
 * `forget` is the worker's own.
 */
export async function runStep(
  context: KubeletContext,
  record: PodRecord,
  step: Step,
  signal: AbortSignal,
): Promise<void> {
  switch (step.do) {
    case "prepareVolumes":
      return await prepareVolumes(context, record);
    case "createSandbox":
      return await createSandbox(context, record, step.attempt);
    case "resizePod":
      return await resizePod(context, record, step.resize);
    case "startContainer":
      noteBackoff(context, record, step);
      return await startContainer(context, record, step);
    case "killContainer":
      return await killContainer(context, record, step, signal);
    case "stopSandbox":
      return await stopSandbox(context, record, step.id);
    case "removeSandbox":
      await unlessGone(context.cri.runtime.removePodSandbox({ podSandboxId: step.id }));
      context.cache.removed(record.uid, step.id);
      return;
    case "removeContainer":
      return await removeContainer(context, record, step);
    case "cleanUp":
      return await cleanUp(context, record);
    case "finalDelete":
      return await finalDelete(context, record);
    case "forget":
      return;
  }
}

async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isCriNotFound(error)) throw error;
  }
}

async function stopSandbox(
  context: KubeletContext,
  record: PodRecord,
  podSandboxId: string,
): Promise<void> {
  await unlessGone(context.cri.runtime.stopPodSandbox({ podSandboxId }));
  record.open.delete(podSandboxId);
  context.cache.sandboxStopped(record.uid, podSandboxId);
}

async function prepareVolumes(context: KubeletContext, record: PodRecord): Promise<void> {
  const { pod } = record;
  const ips = context.cache.peek(record.uid).sandboxes[0]?.ips ?? [];
  const refusal = await context.devices.allocate(pod);
  if (refusal !== undefined) return reject(context, record, "UnexpectedAdmissionError", refusal);
  try {
    await context.volumes.prepare(pod, placeOf(context, pod, ips), record.starting.signal);
  } catch (error) {
    const message = error instanceof Error ? error.message : `${error}`;
    if (error instanceof AttachLimitError) {
      return reject(context, record, "VolumeAttachmentLimitExceeded", message);
    }
    if (!record.starting.signal.aborted) {
      context.events.event(pod, "Warning", "FailedMount", message);
    }
    throw error;
  }
  await prepareClaims(context, record);
  record.volumes = "ready";
}

async function prepareClaims(context: KubeletContext, { pod, starting }: PodRecord): Promise<void> {
  try {
    await context.claims.prepare(pod);
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    const message = `Failed to prepare dynamic resources: ${why}`;
    if (!starting.signal.aborted)
      context.events.event(pod, "Warning", "FailedPrepareDynamicResources", message);
    throw error;
  }
}

/** The node cannot run the pod, though it has taken it. */
function reject(
  { events }: KubeletContext,
  record: PodRecord,
  reason: string,
  message: string,
): void {
  record.failed = { reason, message: `Pod was rejected: ${message}` };
  events.event(record.pod, "Warning", reason, message);
}

async function createSandbox(
  context: KubeletContext,
  record: PodRecord,
  attempt: number,
): Promise<void> {
  const { pod } = record;
  if (attempt > 0) {
    const message = "Pod sandbox changed, it will be killed and re-created.";
    context.events.event(pod, "Normal", "SandboxChanged", message);
    // One whose shim was killed still holds its address and mounts.
    const dead = context.cache.peek(record.uid).sandboxes;
    for (const { id } of dead) await stopSandbox(context, record, id);
  }
  await Promise.all([
    createPodCgroup(context.cgroups, pod),
    context.host.mkdir(podLogDir(context.logRoot, pod), 0o755),
  ]);
  record.cgroup = podResources(pod);
  let sandboxId: string;
  try {
    const runtimeHandler = await handlerOf(context, pod);
    await context.users.allot(pod, runtimeHandler);
    const config = sandboxConfigOf(context, pod, attempt);
    // Never aborted: containerd would go on and leave a sandbox that we know nothing of.
    const made = await context.cri.runtime.runPodSandbox({ config, runtimeHandler });
    sandboxId = made.podSandboxId;
  } catch (error) {
    const message = `Failed to create pod sandbox: ${criMessage(error)}`;
    context.events.event(pod, "Warning", "FailedCreatePodSandBox", message);
    throw error;
  }
  await context.cache.sandboxMade(record.uid, sandboxId);
}

/** The runtime's name for the pod's RuntimeClass; the default handler has none. */
async function handlerOf(context: KubeletContext, pod: Pod): Promise<string> {
  const name = pod.spec.runtimeClassName ?? "";
  if (name === "") return "";
  try {
    return (await context.client.get(runtimeClasses, "", name)).handler;
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
    const missing = `runtimeclass.node.k8s.io "${name}" not found`;
    throw new Error(`failed to get sandbox runtime: ${missing}`);
  }
}

/** A container that starts after it ended waits twice as long the next time. */
function noteBackoff(
  context: KubeletContext,
  record: PodRecord,
  step: Extract<Step, { do: "startContainer" }>,
): void {
  const { after } = step;
  if (after === undefined || record.restarting.has(after.id)) return;
  const { name } = step.named.container;
  const sinceMs = context.runtime.clock.now().getTime();
  const before = record.backoffs.get(name);
  const forgiven =
    before !== undefined && after.finishedMs - before.sinceMs > 2 * crashBackoffLimits.msMax;
  const delayMs =
    before === undefined || forgiven
      ? crashBackoffLimits.msMin
      : Math.min(before.delayMs * 2, crashBackoffLimits.msMax);
  record.backoffs.set(name, { delayMs, sinceMs });
}

/** The grace period the pod's containers have left, in whole seconds. */
export function graceSecondsOf(record: PodRecord, containerName: string): number {
  const { metadata, spec } = record.pod;
  // Deleted by force, or never known to the API: nobody waits for it any more.
  if (record.removed) return 1;
  if (metadata.deletionTimestamp !== undefined) {
    return metadata.deletionGracePeriodSeconds ?? limits.graceSecondsDefault;
  }
  const own = spec.terminationGracePeriodSeconds ?? limits.graceSecondsDefault;
  if (record.failed !== undefined) return record.failed.graceSeconds ?? own;
  const container = containersOf(record.pod).find(
    (named) => named.container.name === containerName,
  )?.container;
  const probe = container?.livenessProbe ?? container?.startupProbe;
  return probe?.terminationGracePeriodSeconds ?? own;
}

async function killContainer(
  context: KubeletContext,
  record: PodRecord,
  step: Extract<Step, { do: "killContainer" }>,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = context.runtime;
  const graceSeconds = Math.max(1, step.graceSeconds ?? graceSecondsOf(record, step.name));
  record.killGrace.set(step.id, graceSeconds);
  if (step.restart) record.restarting.add(step.id);
  const named = containersOf(record.pod).find((entry) => entry.container.name === step.name);
  const fieldPath = named === undefined ? {} : { fieldPath: fieldPathOf(named) };
  if (named !== undefined) {
    context.events.event(record.pod, "Normal", "Killing", step.message, fieldPath);
  }
  const begun = clock.monotonicMs();
  try {
    await preStop(context, record, step, { graceSeconds, signal });
    const usedSeconds = Math.ceil((clock.monotonicMs() - begun) / 1000);
    const left = usedSeconds <= 1 ? graceSeconds : graceSeconds - usedSeconds;
    const timeout = BigInt(Math.max(Math.min(limits.graceSecondsMin, graceSeconds), left));
    await unlessGone(context.cri.runtime.stopContainer({ containerId: step.id, timeout }));
    await context.cache.containerStopped(record.uid, step.id);
  } finally {
    record.killGrace.delete(step.id);
    record.condemned.delete(step.id);
  }
}

async function preStop(
  context: KubeletContext,
  record: PodRecord,
  step: Extract<Step, { do: "killContainer" }>,
  limit: { readonly graceSeconds: number; readonly signal: AbortSignal },
): Promise<void> {
  const named = containersOf(record.pod).find((entry) => entry.container.name === step.name);
  const hook = named?.container.lifecycle?.preStop;
  const state = context.cache.peek(record.uid).containers.find(({ id }) => id === step.id);
  if (named === undefined || hook === undefined || state?.state !== "running") return;
  const { runtime, cri } = context;
  const sandbox = context.cache.peek(record.uid).sandboxes.find(({ id }) => id === state.sandboxId);
  const over = new AbortController();
  const signal = AbortSignal.any([limit.signal, over.signal]);
  const timeoutMs = limit.graceSeconds * 1000;
  const handler = {
    purpose: "hook" as const,
    runtime,
    cri,
    pod: record.pod,
    container: named.container,
    containerId: step.id,
    podIp: placeOf(context, record.pod, sandbox?.ips ?? []).podIps[0] ?? "",
    timeoutMs,
    signal,
  };
  const result = await Promise.race([
    runHandler(handler, hook),
    runtime.clock.sleep(timeoutMs, signal).then(() => ({ ok: true, output: "" })),
  ]);
  over.abort();
  if (result.ok) return;
  const fieldPath = fieldPathOf(named);
  const message = "PreStopHook failed";
  context.events.event(record.pod, "Warning", "FailedPreStopHook", message, { fieldPath });
}

async function removeContainer(
  context: KubeletContext,
  record: PodRecord,
  step: Extract<Step, { do: "removeContainer" }>,
): Promise<void> {
  const known = context.cache.peek(record.uid).containers.find(({ id }) => id === step.id);
  await unlessGone(context.cri.runtime.removeContainer({ containerId: step.id }));
  context.cache.removed(record.uid, step.id);
  context.prober.remove(step.id);
  if (known?.logPath.startsWith(context.logRoot) !== true) return;
  for (const file of await logFiles(context.host, known.logPath)) await context.host.remove(file);
}

async function cleanUp(context: KubeletContext, record: PodRecord): Promise<void> {
  for (const id of record.open) await stopSandbox(context, record, id);
  context.objects.follow(record.uid, []);
  await context.claims.unprepare(record.uid);
  await context.volumes.tearDown(record.uid);
  await removePodCgroup(context.cgroups, record.pod);
  await context.devices.release(record.uid);
  context.tokens.forgetPod(record.uid);
  context.images.forgetPod(record.uid);
  context.users.release(record.uid);
  record.hostsFor = "";
  record.volumes = "gone";
}

/** Tells the API that nothing of the pod runs any more: its object may go. */
async function finalDelete(context: KubeletContext, record: PodRecord): Promise<void> {
  const { namespace = "", name = "" } = record.pod.metadata;
  try {
    await context.client.delete(pods, namespace, name, {
      gracePeriodSeconds: 0,
      preconditions: { uid: record.uid },
    });
  } catch (error) {
    // Gone already, or the name belongs to another pod by now.
    if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
  }
}
