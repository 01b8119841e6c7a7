/** The arguments of kube-apiserver on tokens of service accounts. */
import type { AccountTokenOptions } from "../server/options.ts";
import { type ComponentValues, duration, switched, text, texts } from "./component-args.ts";
import { bad } from "./flags.ts";

export const accountTokenArgs = {
  "api-audiences": texts([]),
  "service-account-issuer": texts([], { commas: false }),
  "service-account-jwks-uri": text(""),
  "service-account-max-token-expiration": duration(0),
  "service-account-extend-token-expiration": switched(true),
} as const;

type AccountTokenArgs = ComponentValues<typeof accountTokenArgs>;

const hourMs = 60 * 60 * 1000;
/** As many seconds as 32 bits hold. */
const expirationMsMax = 2 ** 32 * 1000;

/** Throws UsageError for what upstream refuses too. */
export function accountTokenOptionsOf(
  args: AccountTokenArgs,
  defaults: Pick<AccountTokenOptions, "issuers" | "audiences">,
): AccountTokenOptions {
  const [given, uri] = [args["service-account-issuer"], args["service-account-jwks-uri"]];
  const issuers = given.length === 0 ? defaults.issuers : given;
  for (const issuer of issuers) {
    // What looks like a URL must be one; any other text is a name.
    if (!issuer.includes(":") || URL.canParse(issuer)) continue;
    throw refuse("service-account-issuer", issuer, "it contained a ':' but was not a valid URL");
  }
  if (uri !== "" && !(URL.canParse(uri) && new URL(uri).protocol === "https:")) {
    throw refuse("service-account-jwks-uri", uri, "it must be an https URL");
  }
  const audiences = args["api-audiences"];
  return {
    issuers,
    audiences: audiences.length === 0 ? defaults.audiences : audiences,
    jwksUri: uri === "" ? undefined : uri,
    expirationSecondsMax: expirationOf(args["service-account-max-token-expiration"]),
    extendsExpiration: args["service-account-extend-token-expiration"],
  };
}

function expirationOf(ms: number): number | undefined {
  if (ms === 0) return undefined;
  if (ms >= hourMs && ms <= expirationMsMax) return Math.floor(ms / 1000);
  const why = "it must be between 1 hour and 2^32 seconds";
  throw refuse("service-account-max-token-expiration", `${ms}ms`, why);
}

function refuse(name: string, value: string, why: string): Error {
  return bad("kube-apiserver-arg", `${name}=${value}`, why);
}
