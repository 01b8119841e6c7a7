/** Pods that lie on the node as files: read at the start and whenever the directory changes. */
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { parseBody } from "../../schema/parse.ts";
import type { Pod } from "./types.ts";

/** Upstream looks at the directory every twenty seconds, whatever its watch says. */
const limits = { everyMs: 20_000, settleMs: 100 } as const;

export interface StaticPodOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly dir: string;
  readonly nodeName: string;
}

/** The pod of a manifest as the kubelet runs it; its uid changes with its text. Throws. */
export function staticPod(bytes: Uint8Array, file: string, nodeName: string): Pod {
  const type = file.endsWith(".json") ? "application/json" : "application/yaml";
  const parsed = parseBody(bytes, type).value as Partial<Pod> | null;
  if (parsed?.kind !== "Pod" || parsed.spec?.containers === undefined) {
    throw new Error("it does not describe a Pod");
  }
  const { metadata = {}, spec } = parsed;
  if ((metadata.name ?? "") === "") throw new Error("the Pod has no name");
  const hash = new Bun.CryptoHasher("md5").update(`${nodeName}\n${file}\n`).update(bytes);
  const uid = hash.digest("hex");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      name: `${metadata.name}-${nodeName.toLowerCase()}`,
      namespace: metadata.namespace ?? "default",
      uid,
      annotations: {
        ...metadata.annotations,
        "kubernetes.io/config.hash": uid,
        "kubernetes.io/config.source": "file",
      },
    },
    spec: {
      ...spec,
      nodeName,
      // Nobody could bring it back elsewhere.
      tolerations: [...(spec.tolerations ?? []), { operator: "Exists", effect: "NoExecute" }],
    },
  };
}

/** Calls `onPods` with all pods of the directory, at once and after every change. */
export async function followStaticPods(
  options: StaticPodOptions,
  onPods: (pods: readonly Pod[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const { runtime, host, dir } = options;
  await host.mkdir(dir, 0o755);
  let changes = 0;
  const watch = async (): Promise<void> => {
    for await (const _name of runtime.files.watch(dir, signal)) {
      changes += 1;
      const mine = changes;
      // A file that is being written changes many times: the last state counts.
      void runtime.clock.sleep(limits.settleMs, signal).then(async () => {
        if (mine === changes && !signal.aborted) onPods(await readAll(options));
      });
    }
  };
  void watch().catch((error: unknown) => {
    if (!signal.aborted) runtime.log.warn("Cannot watch for pods", { dir, error: `${error}` });
  });
  while (!signal.aborted) {
    onPods(await readAll(options));
    await runtime.clock.sleep(limits.everyMs, signal);
  }
}

async function readAll({ runtime, dir, nodeName }: StaticPodOptions): Promise<readonly Pod[]> {
  const pods: Pod[] = [];
  const names = await runtime.files.list(dir);
  for (const name of names.filter((entry) => !entry.startsWith("."))) {
    const path = `${dir}/${name}`;
    try {
      const bytes = await runtime.files.read(path);
      if (bytes !== undefined) pods.push(staticPod(bytes, path, nodeName));
    } catch (error) {
      runtime.log.error("Cannot read a static pod", { path, error: `${error}` });
    }
  }
  return pods;
}
