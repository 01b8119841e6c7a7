/** `POST /checkpoint/...`: the runtime writes a running container, memory too, to an archive. */
import type { Hono } from "hono";
import { criMessage } from "./cri/client.ts";
import { latestOf } from "./kubelet/cri-state.ts";
import type { Kubelet } from "./kubelet/kubelet.ts";
import { timeOf } from "./kubelet/pod-status.ts";
import { containersOf } from "./kubelet/types.ts";

export function addCheckpoint(app: Hono, { context, findPod }: Kubelet): void {
  app.post("/checkpoint/:namespace/:pod/:container", async (to) => {
    const { namespace, pod: podName, container } = to.req.param();
    const record = findPod(namespace, podName);
    if (record === undefined || record.removed) return to.text("pod does not exist", 404);
    const isThere = containersOf(record.pod).some((named) => named.container.name === container);
    if (!isThere) return to.text(`container ${container} does not exist`, 404);
    const timeout = to.req.queries("timeout")?.at(-1) ?? "0";
    if (!/^[+-]?\d{1,18}$/.test(timeout)) {
      return to.text("cannot parse value of timeout parameter", 404);
    }
    const failed = (why: string): Response =>
      to.text(`checkpointing of ${namespace}/${podName}/${container} failed (${why})`, 500);
    const state = latestOf(context.cache.peek(record.uid), container);
    if (state?.state !== "running") return failed(`container ${container} not found`);
    const dir = `${context.rootDir}/checkpoints`;
    const time = timeOf(context.runtime.clock.now().getTime());
    const location = `${dir}/checkpoint-${podName}_${namespace}-${container}-${time}.tar`;
    try {
      await context.host.mkdir(dir, 0o700);
      const request = { containerId: state.id, location, timeout: BigInt(timeout) };
      await context.cri.runtime.checkpointContainer(request);
      return to.json({ items: [location] });
    } catch (error) {
      return failed(criMessage(error));
    }
  });
}
