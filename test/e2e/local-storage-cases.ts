/** Claims of the built-in class `local-path`: their data, and what becomes of it. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import type { PersistentVolume, PersistentVolumeClaim } from "../../src/gen/core-v1.ts";
import { type Cluster, testImage } from "./cluster.ts";
import { apply, becomes, events, pod, shell } from "./pods.ts";

const script = "echo again >>/data/lines; exec sleep 1000";
const keeper = {
  apiVersion: "apps/v1",
  kind: "StatefulSet",
  metadata: { name: "keeper" },
  spec: {
    serviceName: "keeper",
    selector: { matchLabels: { app: "keeper" } },
    template: {
      metadata: { labels: { app: "keeper" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        securityContext: { runAsUser: 1000 },
        containers: [
          shell("main", script, { volumeMounts: [{ name: "data", mountPath: "/data" }] }),
        ],
      },
    },
    volumeClaimTemplates: [
      {
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "10Mi" } } },
      },
    ],
  },
};

export function localStorageCases(cluster: () => Cluster): void {
  const json = async <T>(line: string): Promise<T> =>
    JSON.parse(await cluster().run(`get ${line} -o json`)) as T;

  test("a claim of the default class gets a folder of its node that outlives the pod", async () => {
    await apply(cluster(), keeper);
    await becomes(cluster(), "keeper-0", "{.status.phase}", "Running");
    const claim = await json<PersistentVolumeClaim>("pvc data-keeper-0");
    const { volumeName = "", storageClassName } = claim.spec;
    expect(storageClassName).toBe("local-path");
    const { spec, metadata } = await json<PersistentVolume>(`pv ${volumeName}`);
    const path = `${cluster().dataDir}/storage/${volumeName}_default_data-keeper-0`;
    expect(spec.local).toEqual({ path });
    expect(metadata.finalizers).toContain("kubernetes.io/pv-protection");
    const [term] = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
    expect(term?.matchExpressions?.[0]?.values).toEqual(["k3-e2e"]);
    expect(readFileSync(`${path}/lines`, "utf8")).toBe("again\n");
    expect(statSync(path).mode & 0o777).toBe(0o777);
    await cluster().run("delete pod keeper-0");
    await cluster().until("the pod wrote again", async () => {
      return readFileSync(`${path}/lines`, "utf8") === "again\nagain\n";
    });
    expect(await events(cluster(), "data-keeper-0")).toContain(
      `ProvisioningSucceeded: Successfully provisioned volume ${volumeName}`,
    );
    const proxy = "get --raw /api/v1/nodes/k3-e2e/proxy";
    const { pods } = JSON.parse(await cluster().run(`${proxy}/stats/summary`));
    const isKeeper = (one: { podRef: { name: string } }): boolean => one.podRef.name === "keeper-0";
    expect(pods.find(isKeeper).volume).toContainEqual(
      expect.objectContaining({
        name: "data",
        pvcRef: { name: "data-keeper-0", namespace: "default" },
        usedBytes: 12,
      }),
    );
    expect(await cluster().run(`${proxy}/metrics`)).toContain(
      'kubelet_volume_stats_used_bytes{namespace="default",persistentvolumeclaim="data-keeper-0"} 12',
    );
    await cluster().run("delete statefulset keeper");
    await cluster().run("delete pvc data-keeper-0");
    await cluster().until("volume and folder are gone", async () => {
      const { stdout } = await cluster().kubectl("get pv -o name");
      return !stdout.includes(volumeName) && !existsSync(path);
    });
  });

  test("what cannot be had is told at the claim, and had once the configuration allows", async () => {
    const configPath = `${cluster().dataDir}/shared`;
    const claim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "shared" },
      spec: { accessModes: ["ReadWriteMany"], resources: { requests: { storage: "1Mi" } } },
    };
    const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "shared" } }];
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const containers = [shell("main", "echo here >/data/file; exec sleep 1000", { volumeMounts })];
    await apply(cluster(), claim, pod("sharing", { containers, volumes }));
    await cluster().until("the claim says why it waits", async () => {
      return (await events(cluster(), "shared")).includes(
        'ProvisioningFailed: failed to provision volume with StorageClass "local-path": ' +
          "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes",
      );
    });
    const config = JSON.stringify({ sharedFileSystemPath: configPath });
    const patch = JSON.stringify({ data: { "config.json": config } });
    await cluster().run([
      ..."patch configmap local-path-config -n kube-system --type merge -p".split(" "),
      patch,
    ]);
    await becomes(cluster(), "sharing", "{.status.phase}", "Running");
    const { spec } = await json<PersistentVolumeClaim>("pvc shared");
    const path = `${configPath}/${spec.volumeName}_default_shared`;
    expect(readFileSync(`${path}/file`, "utf8")).toBe("here\n");
    await cluster().run("delete pod sharing --grace-period=0 --force");
    await cluster().run("delete pvc shared");
    await cluster().until("the folder is gone", async () => !existsSync(path));
  });

  test("scripts of the cluster's own make and remove volumes, in pods on their node", async () => {
    const template = `apiVersion: v1
kind: Pod
metadata: {name: helper-pod}
spec:
  containers: [{name: helper-pod, image: "${testImage}", imagePullPolicy: IfNotPresent}]
`;
    const storage = `${cluster().dataDir}/scripted`;
    const config = JSON.stringify({
      nodePathMap: [{ node: "DEFAULT_PATH_FOR_NON_LISTED_NODES", paths: [storage] }],
    });
    const configure = async (setup: string): Promise<void> => {
      const teardown = `set -eu\nmv "$VOL_DIR" "$VOL_DIR.old"\n`;
      const data = { "config.json": config, setup, teardown, "helperPod.yaml": template };
      const line = "patch configmap local-path-config -n kube-system --type merge -p";
      await cluster().run([...line.split(" "), JSON.stringify({ data })]);
    };
    await configure("echo no room left; exit 3");
    await apply(cluster(), {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "scripted" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Ki" } } },
    });
    const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "scripted" } }];
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const main = shell("main", "cat /data/made; exec sleep 1000", { volumeMounts });
    await apply(cluster(), pod("scripted", { containers: [main], volumes }));
    await cluster().until("the claim says what the script said", async () => {
      return /failed to create volume pvc-\S+: no room left/.test(
        await events(cluster(), "scripted"),
      );
    });
    await configure('mkdir -p "$VOL_DIR"; echo "$VOL_SIZE_BYTES $VOL_MODE $8" >"$VOL_DIR/made"');
    await becomes(cluster(), "scripted", "{.status.phase}", "Running");
    const { spec } = await json<PersistentVolumeClaim>("pvc scripted");
    const path = `${storage}/${spec.volumeName}_default_scripted`;
    expect(readFileSync(`${path}/made`, "utf8")).toBe("2048 Filesystem create\n");
    await cluster().run("delete pod scripted --grace-period=0 --force");
    await cluster().run("delete pvc scripted");
    await cluster().until("the folder was moved aside and the volume is gone", async () => {
      const { stdout } = await cluster().kubectl("get pv -o name");
      return existsSync(`${path}.old/made`) && !stdout.includes(spec.volumeName ?? "");
    });
    await cluster().until("no helper is left", async () => {
      return !(await cluster().run("get pods -n kube-system -o name")).includes("helper-pod");
    });
  });
}
