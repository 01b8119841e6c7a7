import { expect, test } from "bun:test";
import type { Node, PersistentVolumeClaim } from "../../gen/core-v1.ts";
import { configText, parseConfig } from "./local-path-config.ts";
import { findVolume, isOn, planVolume } from "./plan-volume.ts";

const node: Node = {
  apiVersion: "v1",
  kind: "Node",
  spec: {},
  metadata: { name: "n1", labels: { "kubernetes.io/hostname": "host-1", zone: "a" } },
};

interface Wish {
  readonly claim?: Partial<PersistentVolumeClaim["spec"]>;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly parameters?: Record<string, string>;
  readonly classAnnotations?: Record<string, string>;
  readonly config?: string;
  readonly node?: Node | undefined;
}

function plan(wish: Wish) {
  const { labels = {}, annotations = {}, parameters = {}, classAnnotations = {} } = wish;
  return planVolume({
    claim: {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data", namespace: "shop", uid: "u-1", labels, annotations },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        ...wish.claim,
      },
    },
    storageClass: {
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name: "local-path", annotations: classAnnotations },
      provisioner: "rancher.io/local-path",
      parameters,
    },
    node: "node" in wish ? wish.node : node,
    config: parseConfig({ "config.json": wish.config ?? configText("/srv/storage") }),
    pick: () => 0,
  });
}

test("a volume lies in a folder named after volume, namespace and claim, on its node alone", () => {
  const { path, base, mode, uid, volume } = plan({
    classAnnotations: { defaultVolumeType: "local" },
  });
  expect({ path, base, mode, uid }).toEqual({
    path: "/srv/storage/pvc-u-1_shop_data",
    base: "/srv/storage",
    mode: 0o777,
    uid: -1,
  });
  expect(volume.metadata).toMatchObject({
    name: "pvc-u-1",
    annotations: { "pv.kubernetes.io/provisioned-by": "rancher.io/local-path" },
  });
  expect(volume.spec).toMatchObject({
    local: { path },
    capacity: { storage: "1Gi" },
    claimRef: { name: "data", namespace: "shop", uid: "u-1" },
    persistentVolumeReclaimPolicy: "Delete",
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: "kubernetes.io/hostname", operator: "In", values: ["host-1"] },
            ],
          },
        ],
      },
    },
  });
  expect(findVolume(volume)).toEqual({ name: "pvc-u-1", path, nodeName: "n1", size: "1Gi" });
  expect(isOn(volume, node)).toBe(true);
  const other = { ...node, metadata: { name: "n2", labels: {} } };
  expect(isOn(volume, other)).toBe(false);
});

test("parameters of the class choose path, folder, owner, mode, kind and affinity", () => {
  const { path, mode, uid, gid, volume } = plan({
    labels: { team: "red" },
    annotations: { volumeType: "hostPath", "run-as": "1000" },
    classAnnotations: { defaultVolumeType: "local" },
    config: JSON.stringify({ nodePathMap: [{ node: "n1", paths: ["/a", "/ssd/"] }] }),
    parameters: {
      nodePath: "/ssd",
      pathPattern: "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{.PVC.Labels.team}}",
      userPattern: '{{ index .PVC.Annotations "run-as" }}',
      groupPattern: "2000",
      permPattern: "750",
      nodeAffinityKey: "zone",
    },
  });
  expect({ path, mode, uid, gid }).toEqual({
    path: "/ssd/shop/data/red",
    mode: 0o750,
    uid: 1000,
    gid: 2000,
  });
  expect(volume.spec.hostPath).toEqual({ path, type: "DirectoryOrCreate" });
  const [term] = volume.spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  expect(term?.matchExpressions?.[0]).toMatchObject({ key: "zone", values: ["a"] });
});

test("a path that nodes share takes any access mode and needs no node", () => {
  const { path, volume } = plan({
    config: JSON.stringify({ sharedFileSystemPath: "/nfs" }),
    claim: { accessModes: ["ReadWriteMany"] },
    node: undefined,
  });
  expect(path).toBe("/nfs/pvc-u-1_shop_data");
  expect(volume.spec.nodeAffinity).toBeUndefined();
});

const refusals: readonly (readonly [string, Wish, string])[] = [
  [
    "more than one node",
    { claim: { accessModes: ["ReadWriteMany"] } },
    "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes",
  ],
  ["a selector", { claim: { selector: {} } }, "claim.Spec.Selector is not supported"],
  ["no node", { node: undefined }, "configuration error, no node was specified"],
  [
    "a node without paths",
    { config: JSON.stringify({ nodePathMap: [{ node: "n1", paths: [] }] }) },
    "no local path available on node n1",
  ],
  [
    "a node that is not listed",
    { config: JSON.stringify({ nodePathMap: [{ node: "n2", paths: ["/a"] }] }) },
    "config doesn't contain node n1, and no DEFAULT_PATH_FOR_NON_LISTED_NODES available",
  ],
  [
    "a path that is not listed",
    { parameters: { nodePath: "/etc" } },
    "config doesn't contain path /etc on node n1",
  ],
  [
    "a pattern that names no claim",
    { parameters: { pathPattern: "fixed" } },
    'pathPattern must start with "{{ .PVC.Namespace }}/{{ .PVC.Name }}"',
  ],
  [
    "a pattern that only begins like one",
    { parameters: { pathPattern: "{{ .PVC.Namespace }}/{{ .PVC.Name }}-x" } },
    "pathPattern must start with",
  ],
  [
    "a way out by a label",
    {
      labels: { to: "../../../etc" },
      parameters: { pathPattern: "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVC.Labels.to }}" },
    },
    "folder path contains invalid references: shop/data/../../../etc",
  ],
  [
    "a way out that is allowed to be unsafe",
    { parameters: { pathPattern: "../etc", allowUnsafePathPattern: "true" } },
    "folder path contains invalid references: ../etc",
  ],
  [
    "the base itself",
    { parameters: { pathPattern: ".", allowUnsafePathPattern: "true" } },
    "folder path contains invalid references: .",
  ],
  ["an unknown kind", { annotations: { volumeType: "nfs" } }, '"nfs" is not a recognised volume'],
];
for (const [name, wish, why] of refusals) {
  test(`planVolume() refuses ${name}`, () => {
    expect(() => plan(wish)).toThrow(why);
  });
}

test("an unsafe pattern may name any folder below the base", () => {
  const parameters = { pathPattern: "fixed/{{ .PVName }}", allowUnsafePathPattern: "true" };
  expect(plan({ parameters }).path).toBe("/srv/storage/fixed/pvc-u-1");
});

test("classes have configurations of their own, and then no others can be used", () => {
  const storageClassConfigs = { "local-path": { nodePathMap: [{ node: "n1", paths: ["/own"] }] } };
  expect(plan({ config: JSON.stringify({ storageClassConfigs }) }).base).toBe("/own");
  const other = { storageClassConfigs: { fast: { sharedFileSystemPath: "/x" } } };
  expect(() => plan({ config: JSON.stringify(other) })).toThrow(
    "Got request for unexpected storage class local-path",
  );
});
