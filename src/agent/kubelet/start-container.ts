/** Starts one container: image, environment, mounts, create, start, postStart. */

import { criText } from "../cri/client.ts";
import { ImageError, type PresentImage } from "../images.ts";
import { sizesOf } from "./allocation.ts";
import { containerConfig, containerHash } from "./container-config.ts";
import { latestOf, type SandboxState } from "./cri-state.ts";
import { dnsConfigOf } from "./dns-config.ts";
import { ConfigError, containerEnv } from "./env.ts";
import { etcHosts, etcHostsOnHost, hostNameOf } from "./etc-hosts.ts";
import type { PodPlace } from "./field-ref.ts";
import { runHandler } from "./handlers.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { blockDevices, containerMounts } from "./mounts.ts";
import { sortedPodIps } from "./pod-ips.ts";
import type { PodRecord } from "./pod-record.ts";
import { type SandboxConfig, sandboxConfig } from "./sandbox-config.ts";
import { fieldPathOf, type NamedContainer, type Pod, podDir, podLogDir } from "./types.ts";

/** Why a container could not be started, in the words of its waiting state. */
export class StartError extends Error {
  override readonly name = "StartError";
  readonly reason: string;
  readonly retryInMs: number | undefined;

  constructor(reason: string, message: string, retryInMs?: number) {
    super(message);
    this.reason = reason;
    this.retryInMs = retryInMs;
  }
}

export interface StartRequest {
  readonly named: NamedContainer;
  readonly sandbox: SandboxState;
  readonly restartCount: number;
}

export function placeOf(context: KubeletContext, pod: Pod, podIps: readonly string[]): PodPlace {
  return {
    nodeName: context.nodeName,
    hostIps: context.nodeIps,
    podIps: pod.spec.hostNetwork === true ? context.nodeIps : sortedPodIps(podIps, context.nodeIps),
    allocatable: context.allocatable,
  };
}

/** The sandbox's configuration; CreateContainer has to repeat it. */
export function sandboxConfigOf(context: KubeletContext, pod: Pod, attempt: number): SandboxConfig {
  return sandboxConfig({
    pod,
    attempt,
    logDirectory: podLogDir(context.logRoot, pod),
    dns: dnsConfigOf(pod, context.dns),
    name: hostNameOf(pod, context.dns.domain),
    pauseProfile: context.pauseProfile,
    systemdCgroup: context.cgroups.systemd,
    users: context.users.namespaceOf(pod),
  });
}

export async function startContainer(
  context: KubeletContext,
  record: PodRecord,
  request: StartRequest,
): Promise<void> {
  const { named } = request;
  const { signal } = record.starting;
  const tell = teller(context, record.pod, named);
  const [containerId] = await Promise.all([
    create(context, record, request, tell),
    // Nothing of the pod runs before the packet filter knows its address.
    context.policy?.admit(record.pod, request.sandbox.ips, signal),
  ]);
  tell("Normal", "Created", "Container created");
  if (named.container.lifecycle?.postStart !== undefined) record.hooksRunning.add(containerId);
  try {
    await context.cri.runtime.startContainer({ containerId });
  } catch (error) {
    record.hooksRunning.delete(containerId);
    const message = criText(error);
    tell("Warning", "Failed", `Error: ${message}`);
    throw new StartError("RunContainerError", message);
  }
  tell("Normal", "Started", "Container started");
  if (!signal.aborted) await postStart(context, record, request, containerId);
  await context.cache.containerStarted(record.uid, request.sandbox.id, containerId);
}

type Tell = (type: "Normal" | "Warning", reason: string, message: string) => void;

function teller(context: KubeletContext, pod: Pod, named: NamedContainer): Tell {
  const fieldPath = fieldPathOf(named);
  return (type, reason, message) => context.events.event(pod, type, reason, message, { fieldPath });
}

async function create(
  context: KubeletContext,
  record: PodRecord,
  request: StartRequest,
  tell: Tell,
): Promise<string> {
  const { named, sandbox } = request;
  const image = await ensureImage(context, record, named, tell);
  try {
    const config = await configOf(context, record, request, image);
    const sizes = sizesOf(record.pod, named.container);
    const answer = await context.cri.runtime.createContainer({
      podSandboxId: sandbox.id,
      config,
      sandboxConfig: sandboxConfigOf(context, record.pod, sandbox.attempt),
    });
    if (named.kind !== "ephemeral") {
      context.resources.containerGiven(record.pod, named.container.name, sizes);
    }
    return answer.containerId;
  } catch (error) {
    const message = criText(error);
    tell("Warning", "Failed", `Error: ${message}`);
    const isConfig = error instanceof ConfigError;
    throw new StartError(isConfig ? "CreateContainerConfigError" : "CreateContainerError", message);
  }
}

async function configOf(
  context: KubeletContext,
  record: PodRecord,
  request: StartRequest,
  image: PresentImage,
): Promise<ReturnType<typeof containerConfig>> {
  const { pod } = record;
  const { container } = request.named;
  const place = placeOf(context, pod, request.sandbox.ips);
  const namespace = pod.metadata.namespace ?? "";
  const [own, imageVolumes, grants] = await Promise.all([
    containerEnv({
      pod,
      container,
      place,
      services: [...context.services()],
      lookup: context.objects.lookup(namespace),
    }),
    imageVolumesOf(context, record, request.named),
    context.devices.grantsFor(record.uid, container.name),
    writeHosts(context, record, request.sandbox),
  ]);
  // What the pod says itself goes before what comes with its devices.
  const env = new Map([...grants.flatMap(({ envs }) => Object.entries(envs)), ...own]);
  const { runtime, host, volumes, rootDir } = context;
  const mounts = await containerMounts({
    runtime,
    host,
    volumes,
    rootDir,
    pod,
    container,
    env,
    imageVolumes,
  });
  const target = "targetContainerName" in container ? `${container.targetContainerName}` : "";
  return containerConfig({
    pod,
    named: request.named,
    restartCount: request.restartCount,
    imageId: image.id,
    imageUser: image.user,
    env,
    mounts,
    blockDevices: [...blockDevices(volumes, pod, container)],
    grants,
    cdiDevices: context.claims.cdiDevicesFor(pod, container),
    memoryCapacityBytes: context.memoryCapacityBytes,
    seccompRoot: context.seccompRoot,
    seccompDefault: context.settings.seccompDefault,
    users: context.users.namespaceOf(pod),
    hash: containerHash(container),
    targetId: target === "" ? undefined : latestOf(context.cache.peek(record.uid), target)?.id,
    cgroupV2: context.cgroups.v2,
  });
}

async function ensureImage(
  context: KubeletContext,
  record: PodRecord,
  named: NamedContainer,
  tell: Tell,
): Promise<PresentImage> {
  const { image = "", imagePullPolicy } = named.container;
  const latest = /(^|\/)[^:@]+(:latest)?$/.test(image);
  const policy = (imagePullPolicy ?? (latest ? "Always" : "IfNotPresent")) as
    | "Always"
    | "IfNotPresent"
    | "Never";
  return await ensure(context, record, { image, policy }, tell);
}

async function ensure(
  context: KubeletContext,
  record: PodRecord,
  wish: { readonly image: string; readonly policy: "Always" | "IfNotPresent" | "Never" },
  tell: Tell,
): Promise<PresentImage> {
  const { pod, uid, starting } = record;
  const namespace = pod.metadata.namespace ?? "";
  const names = (pod.spec.imagePullSecrets ?? []).map((entry) => entry.name ?? "");
  const found = await Promise.all(names.map((n) => context.objects.pullSecret(namespace, n)));
  const secrets = found.filter((secret) => secret !== undefined);
  try {
    return await context.images.ensure(
      { podUid: uid, ...wish, secrets, event: tell },
      starting.signal,
    );
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const { reason, message, retryInMs } = error;
    // The back-off itself is told by the image manager already.
    if (reason === "ImagePullBackOff") tell("Warning", "Failed", "Error: ImagePullBackOff");
    throw new StartError(reason, message, retryInMs);
  }
}

async function imageVolumesOf(
  context: KubeletContext,
  record: PodRecord,
  named: NamedContainer,
): Promise<ReadonlyMap<string, string>> {
  const used = new Set((named.container.volumeMounts ?? []).map((mount) => mount.name));
  const volumes = (record.pod.spec.volumes ?? []).filter(
    (volume) => volume.image !== undefined && used.has(volume.name),
  );
  const tell = teller(context, record.pod, named);
  const ids = volumes.map(async (volume) => {
    const image = volume.image?.reference ?? "";
    const policy = volume.image?.pullPolicy === "Always" ? "Always" : "IfNotPresent";
    const { id } = await ensure(context, record, { image, policy }, tell);
    return [volume.name, id] as const;
  });
  return new Map(await Promise.all(ids));
}

async function writeHosts(
  context: KubeletContext,
  record: PodRecord,
  sandbox: SandboxState,
): Promise<void> {
  if (record.hostsFor === sandbox.id) return;
  const { pod } = record;
  const text =
    pod.spec.hostNetwork === true
      ? etcHostsOnHost(pod, (await context.runtime.files.readText("/etc/hosts")) ?? "")
      : etcHosts(pod, sandbox.ips, hostNameOf(pod, context.dns.domain));
  await context.host.write(`${podDir(context.rootDir, record.uid)}/etc-hosts`, text, 0o644);
  record.hostsFor = sandbox.id;
}

async function postStart(
  context: KubeletContext,
  record: PodRecord,
  request: StartRequest,
  containerId: string,
): Promise<void> {
  const { named, sandbox } = request;
  const hook = named.container.lifecycle?.postStart;
  if (hook === undefined) return;
  const podIp = placeOf(context, record.pod, sandbox.ips).podIps[0] ?? "";
  const { runtime, cri } = context;
  const result = await runHandler(
    {
      purpose: "hook",
      runtime,
      cri,
      pod: record.pod,
      container: named.container,
      containerId,
      podIp,
      timeoutMs: 2 * 60 * 60 * 1000,
      signal: record.starting.signal,
    },
    hook,
  );
  record.hooksRunning.delete(containerId);
  if (result.ok) return;
  teller(context, record.pod, named)("Warning", "FailedPostStartHook", "PostStartHook failed");
  record.condemned.set(containerId, "FailedPostStartHook");
}
