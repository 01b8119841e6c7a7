/** What `--kube-apiserver-arg` may hold: kube-apiserver's own names, defaults and bounds. */
import { auditArgs } from "./audit-args.ts";
import { componentArgsOf, count, duration } from "./component-args.ts";
import type { FlagValues } from "./flags.ts";

export const apiServerArgs = {
  ...auditArgs,
  "min-request-timeout": count(1800),
  "request-timeout": duration(60_000),
} as const;

export type ApiServerArgs = ReturnType<typeof apiServerArgsOf>;

export function apiServerArgsOf(flags: FlagValues) {
  return componentArgsOf(flags, "kube-apiserver-arg", apiServerArgs);
}
