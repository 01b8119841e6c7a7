/** The pod that runs a script of `local-path-config` on the node of a volume. Pure. */
import { posix } from "node:path";
import type { Container, EnvVar, Pod } from "../../gen/core-v1.ts";
import { quantityValue } from "../../lib/quantity.ts";
import { parseBody } from "../../schema/parse.ts";
import {
  type Action,
  configMapName,
  type HelperSettings,
  scriptKeys,
} from "./local-path-config.ts";

export interface HelperTask {
  readonly action: Action;
  readonly volumeName: string;
  /** Where the volume lies on its node. */
  readonly path: string;
  /** Undefined where any node will do. */
  readonly nodeName: string | undefined;
  readonly size: string;
  readonly wishes: { readonly user: string; readonly group: string; readonly mode: string };
}

export interface HelperPlace {
  readonly namespace: string;
  readonly serviceAccountName: string;
}

const limits = { nameLength: 128 } as const;
const scriptDir = "/script";

/** Throws where the template, which others may write, would have more rights than it needs. */
export function helperPod(task: HelperTask, settings: HelperSettings, place: HelperPlace): Pod {
  const template = templateOf(settings.template);
  const [container] = template.spec.containers as [Container];
  const clean = posix.normalize(task.path).replace(/\/+$/, "");
  const parent = posix.dirname(clean);
  if (!clean.startsWith("/") || parent === "/") {
    throw new Error(
      `invalid path ${task.action} for ${task.path}: cannot find parent dir or volume dir or ` +
        "parent dir is relative",
    );
  }
  const command = settings.commands[task.action];
  const scripts = (["create", "delete"] as const)
    .filter((action) => settings.commands[action] === "")
    .map((action) => scriptKeys[action]);
  const bytes = `${quantityValue(task.size)}`;
  const hostPath = { path: `${parent}/`, type: "DirectoryOrCreate" };
  return {
    ...template,
    metadata: {
      ...template.metadata,
      name: `${template.metadata.name}-${task.action}-${task.volumeName}`.slice(
        0,
        limits.nameLength,
      ),
      namespace: place.namespace,
    },
    spec: {
      ...template.spec,
      ...(task.nodeName === undefined ? {} : { nodeName: task.nodeName }),
      serviceAccountName: place.serviceAccountName,
      restartPolicy: "Never",
      tolerations: template.spec.tolerations ?? [
        { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
      ],
      volumes: [
        { name: "data", hostPath },
        ...(scripts.length === 0
          ? []
          : [
              {
                name: "script",
                configMap: {
                  name: configMapName,
                  items: scripts.map((key) => ({ key, path: key })),
                },
              },
            ]),
      ],
      containers: [
        {
          ...container,
          command:
            command === "" ? ["/bin/sh", `${scriptDir}/${scriptKeys[task.action]}`] : [command],
          args: ["-p", clean, "-s", bytes, "-m", "Filesystem", "-a", task.action],
          env: [...(container.env ?? []), ...environment(task, clean, bytes)],
          // Why a script failed is told where the volume is missed.
          terminationMessagePolicy: "FallbackToLogsOnError",
          volumeMounts: [
            ...(scripts.length === 0 ? [] : [{ name: "script", mountPath: scriptDir }]),
            { name: "data", mountPath: parent },
          ],
        },
      ],
    },
  };
}

function environment({ wishes }: HelperTask, path: string, bytes: string): EnvVar[] {
  return [
    { name: "VOL_DIR", value: path },
    { name: "VOL_MODE", value: "Filesystem" },
    { name: "VOL_SIZE_BYTES", value: bytes },
    { name: "VOL_USER", value: wishes.user },
    { name: "VOL_GROUP", value: wishes.group },
    { name: "VOL_PERM", value: wishes.mode },
  ];
}

function templateOf(text: string): Pod {
  const { value } = parseBody(new TextEncoder().encode(text), "application/yaml");
  const pod = value as Partial<Pod>;
  const { containers } = pod.spec ?? {};
  if (!Array.isArray(containers) || containers.length === 0) {
    throw new Error("helper pod template does not specify any container");
  }
  if (containers.length !== 1) {
    throw new Error("helper pod template must specify exactly one container");
  }
  const template = { ...pod, metadata: { name: "", ...pod.metadata } } as Pod;
  for (const [isThere, what] of riches(template)) {
    if (isThere) throw new Error(`helper pod template must not ${what}`);
  }
  return template;
}

/** What a template may not have. */
function riches({ spec }: Pod): readonly (readonly [boolean, string])[] {
  const [container] = spec.containers as [Container];
  const has = (list: readonly unknown[] | undefined): boolean => (list ?? []).length > 0;
  const { securityContext: ofPod } = spec;
  const { securityContext: own } = container;
  const isOfHost = [spec.hostNetwork, spec.hostPID, spec.hostIPC].includes(true);
  const secret = container.env?.find(({ valueFrom }) => valueFrom !== undefined);
  return [
    [has(spec.initContainers), "define initContainers"],
    [has(spec.ephemeralContainers), "define ephemeralContainers"],
    [has(spec.volumes), "define custom volumes"],
    [isOfHost, "enable host namespaces"],
    [(spec.nodeName ?? "") !== "", "set spec.nodeName"],
    [(spec.serviceAccountName ?? "") !== "", "set spec.serviceAccountName"],
    [has(container.volumeMounts), "define custom volumeMounts"],
    [has(container.envFrom), "define envFrom"],
    [container.lifecycle !== undefined, "define container lifecycle hooks"],
    [container.livenessProbe !== undefined, "define container livenessProbe"],
    [container.readinessProbe !== undefined, "define container readinessProbe"],
    [container.startupProbe !== undefined, "define container startupProbe"],
    [secret !== undefined, `define env.valueFrom (env "${secret?.name}")`],
    [ofPod?.runAsUser === 0, "set pod runAsUser to 0 (root)"],
    [ofPod?.runAsGroup === 0, "set pod runAsGroup to 0 (root)"],
    [has(ofPod?.sysctls), "define sysctls"],
    [own?.privileged === true, "set privileged: true"],
    [has(own?.capabilities?.add), "add capabilities"],
    [own?.allowPrivilegeEscalation === true, "set allowPrivilegeEscalation: true"],
  ];
}
