/** What `--kube-controller-manager-arg` may hold, with K3s' defaults. */
import type { ControllerManagerArguments } from "../server/options.ts";
import { componentArgsOf, count, switched } from "./component-args.ts";
import type { FlagValues } from "./flags.ts";

const controllerManagerArgs = {
  "allocate-node-cidrs": switched(true),
  "node-cidr-mask-size": count(0),
  "node-cidr-mask-size-ipv4": count(0),
  "node-cidr-mask-size-ipv6": count(0),
} as const;

export function controllerManagerArgsOf(flags: FlagValues): ControllerManagerArguments {
  return componentArgsOf(flags, "kube-controller-manager-arg", controllerManagerArgs);
}
