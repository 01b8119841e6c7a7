/** What `--kube-apiserver-arg` may hold: kube-apiserver's own names, defaults and bounds. */
import { accountTokenArgs } from "./account-token-args.ts";
import { admissionArgs } from "./admission-args.ts";
import { auditArgs } from "./audit-args.ts";
import { authenticationArgs } from "./authentication-args.ts";
import { authorizationArgs } from "./authorization-args.ts";
import {
  chance,
  componentArgsOf,
  componentTextsOf,
  count,
  duration,
  switched,
} from "./component-args.ts";
import { type FlagValues, UsageError } from "./flags.ts";

export const apiServerArgs = {
  ...accountTokenArgs,
  ...admissionArgs,
  ...auditArgs,
  ...authenticationArgs,
  ...authorizationArgs,
  "enable-priority-and-fairness": switched(true),
  "goaway-chance": chance(0.02),
  "http2-max-streams-per-connection": count(0),
  "livez-grace-period": duration(0),
  "max-mutating-requests-inflight": count(200),
  "max-requests-inflight": count(400),
  "min-request-timeout": count(1800),
  "request-timeout": duration(60_000),
  "shutdown-delay-duration": duration(0),
  "shutdown-send-retry-after": switched(false),
} as const;

export type ApiServerArgs = ReturnType<typeof apiServerArgsOf>;

export function apiServerArgsOf(flags: FlagValues) {
  const values = componentArgsOf(flags, "kube-apiserver-arg", apiServerArgs);
  const seats = values["max-requests-inflight"] + values["max-mutating-requests-inflight"];
  if (values["enable-priority-and-fairness"] && seats === 0) {
    throw new UsageError(
      "Cannot use --kube-apiserver-arg=max-requests-inflight=0: with priority and fairness it " +
        "and max-mutating-requests-inflight must not both be 0",
    );
  }
  return { ...values, flagz: componentTextsOf(apiServerArgs, values) };
}
