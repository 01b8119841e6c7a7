/** Volumes by the cluster's own scripts: a pod on the volume's node runs them. */
import { pods } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import type { ControllerContext } from "../../live/controller.ts";
import { type HelperPlace, type HelperTask, helperPod } from "./helper-pod.ts";
import type { HelperSettings } from "./local-path-config.ts";
import type { VolumeMeans } from "./provisioner.ts";

const limits = { pollMs: 200 } as const;
const noWishes = { user: "", group: "", mode: "" };

/** What a server does for the volumes of all nodes. */
export function scriptRunner(context: ControllerContext, place: HelperPlace): VolumeMeans {
  return {
    nodeName: undefined,
    runsScripts: true,
    make: async ({ volume, nodeName, path, wishes }, { helper }) => {
      const size = volume.spec.capacity?.storage ?? "0";
      const task = { action: "create", volumeName: volume.metadata.name ?? "" } as const;
      await run(context, { ...task, path, nodeName, size, wishes }, helper, place);
    },
    remove: async ({ name, path, nodeName, size }, { helper }) => {
      const task = { action: "delete", volumeName: name, wishes: noWishes } as const;
      await run(context, { ...task, path, nodeName, size }, helper, place);
    },
  };
}

async function run(
  { client, runtime: { clock } }: ControllerContext,
  task: HelperTask,
  settings: HelperSettings,
  place: HelperPlace,
): Promise<void> {
  const pod = helperPod(task, settings, place);
  const { name = "" } = pod.metadata;
  // One that is there already is of a time before a restart: it does the same.
  await client.create(pods, pod).catch((error: unknown) => {
    if (!isReason(error, "AlreadyExists")) throw error;
  });
  const deadline = clock.monotonicMs() + settings.timeoutMs;
  try {
    for (;;) {
      const { status } = await client.get(pods, place.namespace, name);
      if (status?.phase === "Succeeded") return;
      if (status?.phase === "Failed") {
        const ended = status.containerStatuses?.[0]?.state?.terminated;
        throw new Error(`${ended?.message ?? status.message ?? "the script failed"}`.trim());
      }
      if (clock.monotonicMs() >= deadline) {
        throw new Error(`create process timeout after ${settings.timeoutMs / 1000} seconds`);
      }
      await clock.sleep(limits.pollMs, new AbortController().signal);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    throw new Error(`failed to ${task.action} volume ${task.volumeName}: ${why}`);
  } finally {
    await client.delete(pods, place.namespace, name).catch((error: unknown) => {
      if (!isReason(error, "NotFound")) throw error;
    });
  }
}
