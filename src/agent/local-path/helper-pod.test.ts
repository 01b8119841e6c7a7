import { expect, test } from "bun:test";
import { stringify } from "yaml";
import { type HelperTask, helperPod } from "./helper-pod.ts";
import { configText, parseConfig, shippedEntries } from "./local-path-config.ts";

const place = { namespace: "kube-system", serviceAccountName: "provisioner" };
const task: HelperTask = {
  action: "create",
  volumeName: "pvc-1",
  path: "/srv/storage/pvc-1_shop_data",
  nodeName: "n1",
  size: "1Ki",
  wishes: { user: "1000", group: "", mode: "750" },
};

interface Wish {
  readonly config?: object;
  readonly data?: Record<string, string>;
}

function settings({ config = {}, data = {} }: Wish) {
  const text = JSON.stringify({ ...JSON.parse(configText("/srv/storage")), ...config });
  return parseConfig({ ...shippedEntries, ...data, "config.json": text }).helper;
}

test("a script runs on the volume's node and is told what it needs", () => {
  const { metadata, spec } = helperPod(task, settings({}), place);
  expect(metadata).toEqual({ name: "helper-pod-create-pvc-1", namespace: "kube-system" });
  const [container] = spec.containers;
  expect(spec).toMatchObject({
    nodeName: "n1",
    serviceAccountName: "provisioner",
    restartPolicy: "Never",
    tolerations: [{ key: "node.kubernetes.io/disk-pressure", effect: "NoSchedule" }],
    volumes: [
      { name: "data", hostPath: { path: "/srv/storage/", type: "DirectoryOrCreate" } },
      { name: "script", configMap: { name: "local-path-config" } },
    ],
  });
  expect(container).toMatchObject({
    image: "rancher/mirrored-library-busybox:1.37.0",
    command: ["/bin/sh", "/script/setup"],
    args: ["-p", task.path, "-s", "1024", "-m", "Filesystem", "-a", "create"],
    volumeMounts: [{ mountPath: "/script" }, { name: "data", mountPath: "/srv/storage" }],
  });
  const env = container?.env?.map(({ name, value }) => `${name}=${value}`);
  expect(env).toEqual([
    `VOL_DIR=${task.path}`,
    "VOL_MODE=Filesystem",
    "VOL_SIZE_BYTES=1024",
    "VOL_USER=1000",
    "VOL_GROUP=",
    "VOL_PERM=750",
  ]);
});

test("commands of the image stand in for scripts", () => {
  const config = { setupCommand: "/setup", teardownCommand: "/teardown", cmdTimeoutSeconds: 5 };
  const given = settings({ config });
  expect(given.timeoutMs).toBe(5_000);
  const { spec } = helperPod({ ...task, action: "delete", nodeName: undefined }, given, place);
  expect(spec.nodeName).toBeUndefined();
  expect(spec.containers[0]?.command).toEqual(["/teardown"]);
  expect(spec.volumes?.map(({ name }) => name)).toEqual(["data"]);
});

const scripts: readonly (readonly [string, Wish, readonly string[]])[] = [
  ["what is shipped", {}, []],
  [
    "other spellings",
    {
      data: {
        setup: '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "${VOL_DIR}"\nchmod 700 "${VOL_DIR}/.."',
        teardown: "set -e; rm -rf ${VOL_DIR}",
      },
    },
    [],
  ],
  ["another setup", { data: { setup: 'mkdir -m 0700 -p "$VOL_DIR"' } }, ["create"]],
  ["another teardown", { data: { teardown: 'mv "$VOL_DIR" /old' } }, ["delete"]],
  ["a setup command", { config: { setupCommand: "/x" } }, ["create"]],
];
for (const [name, wish, actions] of scripts) {
  test(`parseConfig() sees what needs a pod: ${name}`, () => {
    expect([...settings(wish).actions]).toEqual([...actions] as "create"[]);
  });
}

test("a template may not have more rights than it needs", () => {
  const refusal = (spec: object): string => {
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "h" }, spec };
    const given = settings({ data: { "helperPod.yaml": stringify(pod) } });
    try {
      helperPod(task, given, place);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const container = { name: "h", image: "i" };
  const hard = { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: "RuntimeDefault" } };
  const own = { readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
  const fine = [{ ...container, securityContext: own, env: [{ name: "A", value: "b" }] }];
  expect(refusal({ containers: fine, securityContext: hard })).toBe("");
  expect(refusal({ containers: [] })).toBe("helper pod template does not specify any container");
  expect(refusal({ containers: [container, container] })).toContain("exactly one container");
  const secret = [{ name: "S", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }];
  const wrong: readonly (readonly [object, string])[] = [
    [{ hostPID: true }, "enable host namespaces"],
    [{ volumes: [{ name: "v", emptyDir: {} }] }, "define custom volumes"],
    [{ serviceAccountName: "admin" }, "set spec.serviceAccountName"],
    [{ securityContext: { runAsUser: 0 } }, "set pod runAsUser to 0 (root)"],
    [{ containers: [{ ...container, env: secret }] }, 'define env.valueFrom (env "S")'],
    [{ containers: [{ ...container, securityContext: { privileged: true } }] }, "privileged: true"],
  ];
  for (const [more, what] of wrong) {
    expect(refusal({ containers: [container], ...more })).toContain(what);
  }
});

test("a volume right below the root is refused", () => {
  expect(() => helperPod({ ...task, path: "/data" }, settings({}), place)).toThrow("invalid path");
});
