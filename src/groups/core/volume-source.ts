/** Rules of where a volume's content comes from, shared by pods and persistent volumes. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { PersistentVolumeSpec, Volume } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, subdomainErrors } from "../../lib/names.ts";
import { invalid, invalids, notSupported, oneOf, required, tooLong } from "../field-errors.ts";

const limits = { driverNameMax: 63, quobyteTenantMax: 64, lunMax: 255, partitionMax: 255 } as const;

/** All sources by name; what only pods or only persistent volumes have is judged elsewhere. */
export type Sources = DeepReadonly<Partial<Omit<PersistentVolumeSpec, "csi"> & Volume>>;

/** The name of a CSI driver, wherever it stands; capital letters are upstream's leniency. */
export function validateDriverName(name: string | undefined, field: string): FieldError[] {
  if (!name) return [required(field)];
  const errors = invalids(field, name, subdomainErrors(name.toLowerCase()));
  const { driverNameMax } = limits;
  return name.length > driverNameMax ? [tooLong(field, driverNameMax), ...errors] : errors;
}

/** A path that leads nowhere above. */
export function validateNoBacksteps(path: string, field: string): FieldError[] {
  return path.split("/").includes("..") ? [invalid(field, path, "must not contain '..'")] : [];
}

/** The error of a volume with a second source. */
export const onlyOneSource = "may not specify more than 1 volume type";

/** In upstream's order: of several, the first is the one that counts. */
const podOrder: readonly string[] = [
  ...["emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret"],
  ...["nfs", "iscsi", "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs"],
  ...["quobyte", "downwardAPI", "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume"],
  ...["photonPersistentDisk", "portworxVolume", "azureDisk", "storageos", "projected", "scaleIO"],
  ...["csi", "ephemeral", "image"],
];
const persistentOrder: readonly string[] = [
  ...["hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs"],
  ...["rbd", "quobyte", "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile"],
  ...["vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local"],
  ...["storageos", "csi"],
];

/** The names of the sources that are given, as upstream looks at them. */
export function sourcesOf(volume: object, kind: "pod" | "persistent"): readonly string[] {
  const order = kind === "pod" ? podOrder : persistentOrder;
  const given = volume as Readonly<Record<string, unknown>>;
  return order.filter((name) => given[name] !== undefined && given[name] !== null);
}

/** Upstream's names of sources where they are not those of the API. */
const toldAs: Readonly<Record<string, string>> = {
  cephfs: "cephFS",
  downwardAPI: "downwarAPI",
};

/** What a source that is one too many is called. */
export function sourceField(name: string): string {
  return toldAs[name] ?? name;
}

/** What each source cannot do without. */
const needed: Readonly<Record<string, readonly string[]>> = {
  gitRepo: ["repository"],
  gcePersistentDisk: ["pdName"],
  awsElasticBlockStore: ["volumeID"],
  nfs: ["server", "path"],
  iscsi: ["targetPortal", "iqn"],
  glusterfs: ["endpoints", "path"],
  rbd: ["monitors", "image"],
  cinder: ["volumeID"],
  cephfs: ["monitors"],
  flexVolume: ["driver"],
  azureFile: ["secretName", "shareName"],
  vsphereVolume: ["volumePath"],
  photonPersistentDisk: ["pdID"],
  portworxVolume: ["volumeID"],
  azureDisk: ["diskName", "diskURI"],
  scaleIO: ["gateway", "system", "volumeName"],
  storageos: ["volumeName"],
};

/** The errors of the source `name` of `volume`, which stands at `field`. */
export function validateSharedSource(name: string, volume: Sources, field: string): FieldError[] {
  // Upstream's slip.
  const at = `${field}.${name === "gcePersistentDisk" ? "persistentDisk" : name}`;
  const source = (volume as Record<string, unknown>)[name] as Readonly<Record<string, unknown>>;
  const errors = (needed[name] ?? [])
    .filter((key) => source[key] === undefined || [source[key]].flat().join("") === "")
    .map((key) => required(`${at}.${key}`));
  return [...errors, ...(rules[name]?.(volume, at) ?? [])];
}

function within(value: number, [least, most]: readonly number[], field: string): FieldError[] {
  if (value >= 0 && value <= (most ?? 0)) return [];
  return [invalid(field, value, `must be between ${least} and ${most}, inclusive`)];
}

const partition =
  (name: "gcePersistentDisk" | "awsElasticBlockStore") =>
  (volume: Sources, at: string): FieldError[] =>
    within(volume[name]?.partition ?? 0, [1, limits.partitionMax], `${at}.partition`);

const rules: Readonly<Record<string, (volume: Sources, at: string) => FieldError[]>> = {
  hostPath: validateHostPath,
  gitRepo({ gitRepo }, at) {
    const { directory = "" } = gitRepo ?? {};
    const field = `${at}.directory`;
    return [
      ...(directory.startsWith("/") ? [invalid(field, directory, "must be a relative path")] : []),
      ...validateNoBacksteps(directory, field),
    ];
  },
  gcePersistentDisk: partition("gcePersistentDisk"),
  awsElasticBlockStore: partition("awsElasticBlockStore"),
  nfs({ nfs }, at) {
    const { path = "" } = nfs ?? {};
    return path.startsWith("/") ? [] : [invalid(`${at}.path`, path, "must be an absolute path")];
  },
  iscsi: validateIscsi,
  flocker({ flocker }, at) {
    const { datasetName = "", datasetUUID = "" } = flocker ?? {};
    const both = "datasetName and datasetUUID can not be specified simultaneously";
    const slash = "must not contain '/'";
    return [
      ...(datasetName === "" && datasetUUID === ""
        ? [required(at, "one of datasetName and datasetUUID is required")]
        : []),
      ...(datasetName !== "" && datasetUUID !== "" ? [invalid(at, "resource", both)] : []),
      ...(datasetName.includes("/") ? [invalid(`${at}.datasetName`, datasetName, slash)] : []),
    ];
  },
  quobyte: validateQuobyte,
  fc: validateFibreChannel,
  flexVolume({ flexVolume }, at) {
    const reserved = Object.keys(flexVolume?.options ?? {}).filter((key) =>
      /\.(kubernetes|k8s)\.io$/.test(`.${key.split("/")[0]?.toLowerCase()}`),
    );
    const detail = "kubernetes.io and k8s.io namespaces are reserved";
    return reserved.map((key) => invalid(`${at}.options[${key}]`, key, detail));
  },
  azureDisk: validateAzureDisk,
  storageos({ storageos }, at) {
    const { volumeName = "", volumeNamespace = "" } = storageos ?? {};
    const label = (value: string, field: string): FieldError[] =>
      value === "" ? [] : invalids(field, value, labelErrors(value));
    return [
      ...label(volumeName, `${at}.volumeName`),
      ...label(volumeNamespace, `${at}.volumeNamespace`),
    ];
  },
};

const hostPathTypes = [
  ...["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File"],
  ...["FileOrCreate", "Socket"],
];

function validateHostPath({ hostPath }: Sources, at: string): FieldError[] {
  const { path = "", type } = hostPath ?? {};
  if (path === "") return [required(`${at}.path`)];
  const isKnown = type === undefined || hostPathTypes.includes(type);
  return [
    ...validateNoBacksteps(path, `${at}.path`),
    ...(isKnown ? [] : [notSupported(`${at}.type`, type, hostPathTypes)]),
  ];
}

const initiators: Readonly<Record<string, RegExp>> = {
  iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$/,
  eui: /^eui.[A-Za-z0-9]{16}$/,
  naa: /^naa.[A-Za-z0-9]{32}$/,
};

function initiatorErrors(name: string, field: string): FieldError[] {
  const pattern = initiators[name.slice(0, 3)];
  if (pattern?.test(name)) return [];
  const start = pattern === undefined ? " starting with iqn, eui, or naa" : "";
  return [invalid(field, name, `must be valid format${start}`)];
}

function validateIscsi({ iscsi }: Sources, at: string): FieldError[] {
  const { iqn = "", lun = 0, initiatorName, secretRef } = iscsi ?? {};
  const needsSecret = iscsi?.chapAuthDiscovery === true || iscsi?.chapAuthSession === true;
  return [
    ...(iqn === "" ? [] : initiatorErrors(iqn, `${at}.iqn`)),
    ...within(lun, [0, limits.lunMax], `${at}.lun`),
    ...(needsSecret && secretRef === undefined ? [required(`${at}.secretRef`)] : []),
    ...(initiatorName === undefined ? [] : initiatorErrors(initiatorName, `${at}.initiatorname`)),
  ];
}

function validateQuobyte({ quobyte }: Sources, at: string): FieldError[] {
  const { registry = "", tenant = "", volume = "" } = quobyte ?? {};
  const pairs = "must be a host:port pair or multiple pairs separated by commas";
  const errors: FieldError[] = [];
  if (registry === "") errors.push(required(`${at}.registry`, pairs));
  else if (tenant.length > limits.quobyteTenantMax) {
    const detail = "must be a UUID and may not exceed a length of 64 characters";
    errors.push(required(`${at}.tenant`, detail));
  } else
    for (const pair of registry.split(","))
      if (!/^(\[[^[\]]*\]|[^:[\]]*):[^:[\]]*$/.test(pair))
        errors.push(invalid(`${at}.registry`, registry, pairs));
  return volume === "" ? [...errors, required(`${at}.volume`)] : errors;
}

function validateFibreChannel({ fc }: Sources, at: string): FieldError[] {
  const { targetWWNs = [], wwids = [], lun } = fc ?? {};
  const field = `${at}.targetWWNs`;
  const errors: FieldError[] = [];
  if (targetWWNs.length === 0 && wwids.length === 0)
    errors.push(required(field, "must specify either targetWWNs or wwids, but not both"));
  if (targetWWNs.length === 0) return errors;
  if (wwids.length > 0) {
    const detail = "targetWWNs and wwids can not be specified simultaneously";
    errors.push(invalid(field, targetWWNs, detail));
  }
  if (lun === undefined)
    errors.push(required(`${at}.lun`, "lun is required if targetWWNs is specified"));
  else errors.push(...within(lun, [0, limits.lunMax], `${at}.lun`));
  return errors;
}

const managedUri =
  "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const blobUri = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

function validateAzureDisk({ azureDisk }: Sources, at: string): FieldError[] {
  const { diskURI = "", cachingMode, kind } = azureDisk ?? {};
  const errors: FieldError[] = [];
  if (cachingMode !== undefined)
    errors.push(...oneOf(`${at}.cachingMode`, cachingMode, ["None", "ReadOnly", "ReadWrite"]));
  if (kind === undefined) return errors;
  errors.push(...oneOf(`${at}.kind`, kind, ["Dedicated", "Managed", "Shared"]));
  const [start, shown] =
    kind === "Managed" ? ["/subscriptions/", managedUri] : ["https://", blobUri];
  if (!diskURI.startsWith(start)) errors.push(notSupported(`${at}.diskURI`, diskURI, [shown]));
  return errors;
}
