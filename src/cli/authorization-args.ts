/** The `authorization-*` arguments of kube-apiserver, with K3s' defaults. */
import type { AuthorizerSettings } from "../api/auth/authorization-config.ts";
import type { AuthorizationOptions } from "../server/options.ts";
import { type ComponentValues, choice, duration, text, texts } from "./component-args.ts";
import { bad } from "./flags.ts";

const modes = ["Node", "RBAC", "AlwaysAllow", "AlwaysDeny"] as const;

export const authorizationArgs = {
  "authorization-config": text(""),
  "authorization-mode": texts(["Node", "RBAC"]),
  "authorization-webhook-config-file": text(""),
  "authorization-webhook-version": choice(["v1", "v1beta1"], "v1beta1"),
  "authorization-webhook-cache-authorized-ttl": duration(300_000),
  "authorization-webhook-cache-unauthorized-ttl": duration(30_000),
} as const;

type AuthorizationArgs = ComponentValues<typeof authorizationArgs>;

/** Throws UsageError for what does not fit together. */
export function authorizationOptionsOf(
  args: AuthorizationArgs,
  absolute: (path: string) => string,
): AuthorizationOptions {
  const config = args["authorization-config"];
  if (config === "") return { configFile: undefined, chain: chainOf(args, absolute) };
  for (const [name, row] of Object.entries(authorizationArgs)) {
    const value = args[name as keyof AuthorizationArgs];
    if (name === "authorization-config" || value === row.default) continue;
    const why = `it cannot be used with --${name}: the file says it all`;
    throw refuse("authorization-config", config, why);
  }
  return { configFile: absolute(config), chain: [] };
}

function chainOf(
  args: AuthorizationArgs,
  absolute: (path: string) => string,
): readonly AuthorizerSettings[] {
  const list = args["authorization-mode"];
  const file = args["authorization-webhook-config-file"];
  const whole = list.join(",");
  if (list.length === 0) throw refuse("authorization-mode", whole, "it must name one at least");
  if (new Set(list).size !== list.length) {
    throw refuse("authorization-mode", whole, "it names a mode more than once");
  }
  if (file !== "" && !list.includes("Webhook")) {
    throw refuse("authorization-webhook-config-file", file, "the mode Webhook is not among them");
  }
  return list.map((mode): AuthorizerSettings => {
    const name = mode.toLowerCase();
    const plain = modes.find((one) => one === mode);
    if (plain !== undefined) return { type: plain, name };
    if (mode !== "Webhook") {
      const known = [...modes, "Webhook"].join(", ");
      throw refuse("authorization-mode", mode, `it must be one of ${known}`);
    }
    if (file === "") {
      throw refuse("authorization-mode", mode, "authorization-webhook-config-file is missing");
    }
    return { type: mode, name: "default", webhook: webhookOf(args, absolute(file)) };
  });
}

/** As upstream completes the flags: what cannot be asked has no opinion. */
function webhookOf(args: AuthorizationArgs, kubeconfigFile: string) {
  return {
    authorizedTtlMs: args["authorization-webhook-cache-authorized-ttl"],
    unauthorizedTtlMs: args["authorization-webhook-cache-unauthorized-ttl"],
    timeoutMs: 30_000,
    reviewVersion: args["authorization-webhook-version"],
    failurePolicy: "NoOpinion",
    kubeconfigFile,
    matchConditions: [],
  } as const;
}

function refuse(name: string, value: string, why: string): Error {
  return bad("kube-apiserver-arg", `${name}=${value}`, why);
}
