/** The files of configMap, secret, projected and downwardAPI volumes. */
import type { Payload, PayloadFile } from "./atomic-writer.ts";
import { fieldValue, type PodPlace, resourceValue } from "./field-ref.ts";
import type { ObjectData, ObjectSource } from "./object-source.ts";
import type { Pod, Volume } from "./types.ts";

/** A volume cannot be set up now; told as FailedMount and tried again. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
}

export interface PayloadContext {
  readonly pod: Pod;
  readonly place: PodPlace;
  readonly objects: ObjectSource;
  token(audience: string, expirationSeconds: number): Promise<string>;
}

type Projected = NonNullable<Volume["projected"]>;
type Source = NonNullable<Projected["sources"]>[number];
type Item = { readonly key: string; readonly path: string; readonly mode?: number };
type DownwardItem = NonNullable<NonNullable<Volume["downwardAPI"]>["items"]>[number];
type Files = Map<string, PayloadFile>;

const defaultMode = 0o644;
const encoder = new TextEncoder();

/** Undefined for a volume that has no files of ours. */
export async function volumePayload(
  context: PayloadContext,
  volume: Volume,
): Promise<Payload | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    const { name = "", items, optional } = configMap;
    const mode = configMap.defaultMode ?? defaultMode;
    return await objectFiles(context, "configmap", { name, items, optional, mode });
  }
  if (secret !== undefined) {
    const { secretName: name = "", items, optional } = secret;
    const mode = secret.defaultMode ?? defaultMode;
    return await objectFiles(context, "secret", { name, items, optional, mode });
  }
  if (downwardAPI !== undefined) {
    return downwardFiles(context, downwardAPI.items ?? [], downwardAPI.defaultMode ?? defaultMode);
  }
  if (projected === undefined) return undefined;
  const all: Files = new Map();
  for (const source of projected.sources ?? []) {
    const files = await sourceFiles(context, source, projected.defaultMode ?? defaultMode);
    for (const [path, file] of files) all.set(path, file);
  }
  return all;
}

async function sourceFiles(
  context: PayloadContext,
  source: Source,
  mode: number,
): Promise<Payload> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap !== undefined) {
    const { name = "", items, optional } = configMap;
    return await objectFiles(context, "configmap", { name, items, optional, mode });
  }
  if (secret !== undefined) {
    const { name = "", items, optional } = secret;
    return await objectFiles(context, "secret", { name, items, optional, mode });
  }
  if (downwardAPI !== undefined) return downwardFiles(context, downwardAPI.items ?? [], mode);
  if (serviceAccountToken !== undefined) {
    const { audience = "", expirationSeconds = 3600, path } = serviceAccountToken;
    const token = await context.token(audience, expirationSeconds);
    return new Map([[path, tokenFile(context.pod, token, mode)]]);
  }
  throw new VolumeError("the projected volume source is not supported by this node");
}

/** A token belongs to the one user all containers run as, or to the pod's group. */
function tokenFile(pod: Pod, token: string, mode: number): PayloadFile {
  const shared = pod.spec.securityContext ?? {};
  const users = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(
    (container) => container.securityContext?.runAsUser ?? shared.runAsUser,
  );
  const [uid] = users;
  const same = uid !== undefined && users.every((user) => user === uid);
  const data = encoder.encode(token);
  if (same) return { data, mode: 0o600, uid };
  return { data, mode: shared.fsGroup === undefined ? mode : 0o600 };
}

interface ObjectVolume {
  readonly name: string;
  readonly items: readonly Item[] | undefined;
  readonly optional: boolean | undefined;
  readonly mode: number;
}

async function objectFiles(
  context: PayloadContext,
  kind: "configmap" | "secret",
  volume: ObjectVolume,
): Promise<Payload> {
  const namespace = context.pod.metadata.namespace ?? "";
  const data =
    kind === "secret"
      ? await context.objects.secret(namespace, volume.name)
      : await context.objects.configMap(namespace, volume.name);
  if (data === undefined) {
    if (volume.optional === true) return new Map();
    throw new VolumeError(`${kind} "${volume.name}" not found`);
  }
  return pickFiles(data, volume);
}

function pickFiles(data: ObjectData, volume: ObjectVolume): Payload {
  const { items = [], mode } = volume;
  if (items.length === 0) {
    return new Map([...data.entries].map(([key, bytes]) => [key, { data: bytes, mode }]));
  }
  const files: Files = new Map();
  for (const item of items) {
    const bytes = data.entries.get(item.key);
    if (bytes !== undefined) files.set(item.path, { data: bytes, mode: item.mode ?? mode });
    else if (volume.optional !== true) {
      throw new VolumeError(`references non-existent config key: ${item.key}`);
    }
  }
  return files;
}

function downwardFiles(
  context: PayloadContext,
  items: readonly DownwardItem[],
  mode: number,
): Payload {
  const { pod, place } = context;
  const files: Files = new Map();
  for (const item of items) {
    const text =
      item.fieldRef !== undefined
        ? fieldValue(pod, item.fieldRef.fieldPath, place)
        : item.resourceFieldRef === undefined
          ? undefined
          : resourceValue(pod, undefined, item.resourceFieldRef, place);
    if (text === undefined) {
      throw new VolumeError(`cannot resolve the downward API item "${item.path}"`);
    }
    files.set(item.path, { data: encoder.encode(text), mode: item.mode ?? mode });
  }
  return files;
}
