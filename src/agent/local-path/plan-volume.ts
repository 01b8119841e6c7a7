/** The volume that a claim gets: its directory on the node and its PersistentVolume. Pure. */
import { posix } from "node:path";
import type { Node, PersistentVolume, PersistentVolumeClaim } from "../../gen/core-v1.ts";
import type { StorageClass } from "../../gen/storage-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { render } from "./claim-pattern.ts";
import {
  type LocalPathConfig,
  type Places,
  pathsOn,
  placesFor,
  provisionerName,
} from "./local-path-config.ts";

export interface VolumeFacts {
  readonly claim: DeepReadonly<PersistentVolumeClaim>;
  readonly storageClass: DeepReadonly<StorageClass>;
  /** The node the claim's first pod was given to; undefined where nobody has chosen. */
  readonly node: DeepReadonly<Node> | undefined;
  readonly config: LocalPathConfig;
  /** A number from 0 up to `below`, to choose between paths. */
  readonly pick: (below: number) => number;
}

export interface VolumePlan {
  readonly path: string;
  /** Undefined where any node can reach it. */
  readonly nodeName: string | undefined;
  /** Of these the directory is made, the parents as far as they are missing. */
  readonly base: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** As the patterns of the class make them, for scripts; empty where there is no pattern. */
  readonly wishes: { readonly user: string; readonly group: string; readonly mode: string };
  readonly volume: PersistentVolume;
}

const hostNameLabel = "kubernetes.io/hostname";
const nodeAnnotation = "local.path.provisioner/selected-node";
const safePrefix = /^\{\{-?\s*\.PVC\.Namespace\s*-?\}\}\/\{\{-?\s*\.PVC\.Name\s*-?\}\}/;

/** Throws with the reason why the claim cannot be given a volume. */
export function planVolume(facts: VolumeFacts): VolumePlan {
  const { claim, storageClass, node, config } = facts;
  const { spec, metadata } = claim;
  const className = storageClass.metadata.name ?? "";
  const places = placesFor(config, className);
  if (!("shared" in places)) checkClaim(facts);
  const parameters = storageClass.parameters ?? {};
  const name = `pvc-${metadata.uid}`;
  const base = basePath(facts, places);
  const folder = folderOf(facts, name);
  const path = posix.join(base, folder);
  if (path === base || !path.startsWith(`${base}/`)) {
    throw new Error(`folder path contains invalid references: ${folder}`);
  }
  const wish = (key: string): string => {
    const pattern = setting(storageClass, key);
    return pattern === undefined ? "" : render(pattern, { volumeName: name, claim }).trim();
  };
  const wishes = {
    user: wish("userPattern"),
    group: wish("groupPattern"),
    mode: wish("permPattern"),
  };
  return {
    path,
    nodeName: "shared" in places ? undefined : node?.metadata.name,
    base,
    mode: wishes.mode === "" ? 0o777 : whole(wishes.mode, 8, "permPattern"),
    uid: wishes.user === "" ? -1 : whole(wishes.user, 10, "userPattern"),
    gid: wishes.group === "" ? -1 : whole(wishes.group, 10, "groupPattern"),
    wishes,
    volume: {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: {
        name,
        annotations: {
          "pv.kubernetes.io/provisioned-by": provisionerName,
          ...(node === undefined ? {} : { [nodeAnnotation]: node.metadata.name ?? "" }),
        },
      },
      spec: {
        accessModes: [...(spec.accessModes ?? [])],
        capacity: { storage: spec.resources?.requests?.storage ?? "0" },
        claimRef: {
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          name: metadata.name ?? "",
          namespace: metadata.namespace ?? "",
          uid: metadata.uid ?? "",
          resourceVersion: metadata.resourceVersion ?? "",
        },
        persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? "Delete",
        storageClassName: className,
        volumeMode: "Filesystem",
        ...(storageClass.mountOptions === undefined
          ? {}
          : { mountOptions: [...storageClass.mountOptions] }),
        ...sourceOf(facts, path, "shared" in places),
        ...("shared" in places || node === undefined ? {} : affinityTo(node, parameters)),
      },
    },
  };
}

/** A parameter of the class, or an annotation of it in the older way. */
function setting({ parameters, metadata }: VolumeFacts["storageClass"], key: string) {
  return parameters?.[key] ?? metadata.annotations?.[key];
}

function checkClaim({ claim: { spec }, node }: VolumeFacts): void {
  if (spec.selector !== undefined) throw new Error("claim.Spec.Selector is not supported");
  const isSingle = (mode: string): boolean =>
    mode === "ReadWriteOnce" || mode === "ReadWriteOncePod";
  if (spec.accessModes?.every(isSingle) !== true) {
    const modes = "ReadWriteOnce and ReadWriteOncePod (1.22+) access modes";
    throw new Error(`NodePath only supports ${modes}`);
  }
  if (node === undefined) throw new Error("configuration error, no node was specified");
}

function basePath({ node, storageClass, pick }: VolumeFacts, places: Places): string {
  const nodeName = node?.metadata.name ?? "";
  const paths = pathsOn(places, nodeName);
  if ("shared" in places) return places.shared;
  const wanted = storageClass.parameters?.nodePath;
  if (wanted !== undefined) {
    const path = posix.normalize(wanted).replace(/\/+$/, "");
    if (paths.includes(path)) return path;
    throw new Error(`config doesn't contain path ${wanted} on node ${nodeName}`);
  }
  const path = paths[pick(paths.length)];
  if (path !== undefined) return path;
  throw new Error(`no local path available on node ${nodeName}`);
}

function folderOf({ claim, storageClass }: VolumeFacts, volumeName: string): string {
  const { pathPattern } = storageClass.parameters ?? {};
  const { name, namespace } = claim.metadata;
  if (pathPattern === undefined) return [volumeName, namespace, name].join("_");
  const isUnsafe = /^(1|t|true)$/i.test(setting(storageClass, "allowUnsafePathPattern") ?? "");
  const rest = pathPattern.replace(safePrefix, "");
  if (!isUnsafe && (rest === pathPattern || !/^(\/|$)/.test(rest))) {
    const start = "{{ .PVC.Namespace }}/{{ .PVC.Name }}";
    throw new Error(`pathPattern must start with "${start}" unless allowUnsafePathPattern is true`);
  }
  const folder = render(pathPattern, { volumeName, claim });
  if (folder.split("/").includes("..")) {
    throw new Error(`folder path contains invalid references: ${folder}`);
  }
  return folder;
}

function whole(text: string, radix: 8 | 10, name: string): number {
  const digits = radix === 8 ? /^[0-7]{1,4}$/ : /^\d{1,9}$/;
  if (digits.test(text)) return Number.parseInt(text, radix);
  throw new Error(`${name} does not make a number: ${JSON.stringify(text)}`);
}

function sourceOf(
  { claim, storageClass }: VolumeFacts,
  path: string,
  isShared: boolean,
): Pick<PersistentVolume["spec"], "local" | "hostPath"> {
  // A local volume is one node's alone.
  const type = isShared
    ? "hostPath"
    : (claim.metadata.annotations?.volumeType ??
      storageClass.metadata.annotations?.defaultVolumeType ??
      "hostPath");
  switch (type.toLowerCase()) {
    case "local":
      return { local: { path } };
    case "hostpath":
      return { hostPath: { path, type: "DirectoryOrCreate" } };
    default:
      throw new Error(`"${type}" is not a recognised volume type`);
  }
}

function affinityTo(
  { metadata }: DeepReadonly<Node>,
  parameters: Readonly<Record<string, string>>,
): Pick<PersistentVolume["spec"], "nodeAffinity"> {
  const key = parameters.nodeAffinityKey ?? hostNameLabel;
  const value = metadata.labels?.[key] ?? metadata.name ?? "";
  const expression = { key, operator: "In", values: [value] };
  return {
    nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [expression] }] } },
  };
}

/** A volume of this provisioner's. */
export interface FoundVolume {
  readonly name: string;
  readonly path: string;
  /** Undefined where any node can reach it. */
  readonly nodeName: string | undefined;
  readonly size: string;
}

/** Undefined for a volume that others have made. */
export function findVolume({
  metadata,
  spec,
}: DeepReadonly<PersistentVolume>): FoundVolume | undefined {
  const isOurs = metadata.annotations?.["pv.kubernetes.io/provisioned-by"] === provisionerName;
  const path = spec.local?.path ?? spec.hostPath?.path;
  if (!isOurs || path === undefined) return undefined;
  const [term] = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  const [value] = term?.matchExpressions?.[0]?.values ?? [];
  const selected = metadata.annotations?.[nodeAnnotation];
  return {
    name: metadata.name ?? "",
    path,
    nodeName: term === undefined ? undefined : (selected ?? value),
    size: spec.capacity?.storage ?? "0",
  };
}

/** Whether the volume is for this node to remove. */
export function isOn(
  { metadata, spec }: DeepReadonly<PersistentVolume>,
  node: DeepReadonly<Node>,
): boolean {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms;
  const selected = metadata.annotations?.[nodeAnnotation];
  // A volume that nodes share is removed by the node it was first used on.
  if (terms === undefined) return selected === node.metadata.name;
  const [{ key, values } = { key: "", values: [] as readonly string[] }] =
    terms[0]?.matchExpressions ?? [];
  const label = node.metadata.labels?.[key] ?? node.metadata.name ?? "";
  const isHere = values?.length === 1 && values[0] === label;
  return isHere && (selected === undefined || selected === node.metadata.name);
}
