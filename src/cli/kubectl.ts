/** `k3 kubectl`: the bundled kubectl, with the kubeconfig of this machine's server at hand. */
import { access, exists } from "../runtime/access.ts";
import { homedir } from "../runtime/machine.ts";
import { runBundled, splitOwnFlags } from "./bundled.ts";
import type { CommandContext } from "./command.ts";

const serverKubeconfig = "/etc/rancher/k3s/k3s.yaml";

export async function runKubectl(context: CommandContext): Promise<number> {
  const { dataDir, args } = splitOwnFlags(context);
  const env = { ...context.env };
  const names = args.some((argument) => /^--kubeconfig(=|$)/.test(argument));
  if (!names && (env.KUBECONFIG ?? "") === "") {
    const found = [serverKubeconfig, `${homedir()}/.kube/k3s.yaml`].find((path) =>
      access(path, "read"),
    );
    if (found !== undefined) env.KUBECONFIG = found;
    else if (exists(serverKubeconfig))
      context.err(
        `Cannot read ${serverKubeconfig}: start the server with --write-kubeconfig-mode 644, ` +
          "or use sudo\n",
      );
  }
  return runBundled("kubectl", dataDir, args, env);
}
