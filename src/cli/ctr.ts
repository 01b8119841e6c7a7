/** `k3 ctr`: the bundled ctr, pointed at k3's containerd and Kubernetes' namespace. */
import { runBundled, splitOwnFlags } from "./bundled.ts";
import type { CommandContext } from "./command.ts";

export const containerdAddress = "/run/k3s/containerd/containerd.sock";

export async function runCtr(context: CommandContext): Promise<number> {
  const { dataDir, args } = splitOwnFlags(context);
  const env = {
    ...context.env,
    CONTAINERD_ADDRESS: context.env.CONTAINERD_ADDRESS || containerdAddress,
    CONTAINERD_NAMESPACE: context.env.CONTAINERD_NAMESPACE || "k8s.io",
  };
  return runBundled("ctr", dataDir, args, env);
}
