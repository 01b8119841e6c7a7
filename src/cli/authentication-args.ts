/** The arguments of kube-apiserver on tokens of others, and on who shows none. */
import { type JwtSettings, noSource } from "../api/auth/authentication-config.ts";
import { defaultRequestHeaders, type RequestHeaders } from "../api/auth/front-proxy.ts";
import type { AuthenticationOptions } from "../server/options.ts";
import {
  type ComponentValues,
  choice,
  duration,
  optionalSwitch,
  text,
  texts,
} from "./component-args.ts";
import { bad } from "./flags.ts";

const algorithms = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"];
const moreAlgorithms = ["PS256", "PS384", "PS512"];

export const authenticationArgs = {
  "anonymous-auth": optionalSwitch,
  "authentication-config": text(""),
  "authentication-token-webhook-config-file": text(""),
  "authentication-token-webhook-version": choice(["v1", "v1beta1"], "v1beta1"),
  "authentication-token-webhook-cache-ttl": duration(120_000),
  "requestheader-allowed-names": texts(defaultRequestHeaders.allowedNames),
  "requestheader-username-headers": texts(defaultRequestHeaders.usernames),
  "requestheader-uid-headers": texts(defaultRequestHeaders.uids),
  "requestheader-group-headers": texts(defaultRequestHeaders.groups),
  "requestheader-extra-headers-prefix": texts(defaultRequestHeaders.extraPrefixes),
  "oidc-issuer-url": text(""),
  "oidc-client-id": text(""),
  "oidc-ca-file": text(""),
  "oidc-username-claim": text("sub"),
  "oidc-username-prefix": text(""),
  "oidc-groups-claim": text(""),
  "oidc-groups-prefix": text(""),
  "oidc-signing-algs": texts(["RS256"]),
  "oidc-required-claim": texts([], { commas: false }),
} as const;

type AuthenticationArgs = ComponentValues<typeof authenticationArgs>;

/** Throws UsageError for what does not fit together. */
export function authenticationOptionsOf(
  args: AuthenticationArgs,
  absolute: (path: string) => string,
): AuthenticationOptions {
  const config = args["authentication-config"];
  const oidc = oidcOf(args, absolute);
  if (config !== "" && oidc !== undefined) {
    const why = "it cannot be used with --oidc-issuer-url: the file says it all";
    throw refuse("authentication-config", config, why);
  }
  const webhook = args["authentication-token-webhook-config-file"];
  return {
    configFile: config === "" ? undefined : absolute(config),
    oidc,
    webhook:
      webhook === ""
        ? undefined
        : {
            configFile: absolute(webhook),
            version: args["authentication-token-webhook-version"],
            cacheTtlMs: args["authentication-token-webhook-cache-ttl"],
          },
    anonymous: args["anonymous-auth"],
    requestHeaders: requestHeadersOf(args),
  };
}

/** The listener keeps the values of these apart, and of no others. */
function requestHeadersOf(args: AuthenticationArgs): RequestHeaders {
  const named = (
    name: `requestheader-${"username" | "uid" | "group"}-headers` | typeof prefixes,
  ): readonly string[] => {
    const strange = args[name].find((header) => !/^x-remote-[-a-z0-9]+$/i.test(header));
    if (strange === undefined) return args[name];
    throw refuse(name, strange, "this version reads headers that begin with X-Remote- only");
  };
  return {
    allowedNames: args["requestheader-allowed-names"],
    usernames: named("requestheader-username-headers"),
    uids: named("requestheader-uid-headers"),
    groups: named("requestheader-group-headers"),
    extraPrefixes: named(prefixes),
  };
}

const prefixes = "requestheader-extra-headers-prefix";

/** As upstream turns the flags into a configuration. */
function oidcOf(
  args: AuthenticationArgs,
  absolute: (path: string) => string,
): AuthenticationOptions["oidc"] {
  const [url, client] = [args["oidc-issuer-url"], args["oidc-client-id"]];
  if ((url === "") !== (client === "")) {
    const [name, value] = url === "" ? ["oidc-client-id", client] : ["oidc-issuer-url", url];
    const why = "oidc-issuer-url and oidc-client-id must be specified together";
    throw refuse(name, value, why);
  }
  if (url === "") return undefined;
  checkUrl(url);
  const unknown = args["oidc-signing-algs"].find(
    (one) => !algorithms.includes(one) && !moreAlgorithms.includes(one),
  );
  if (unknown !== undefined) {
    const known = [...algorithms, ...moreAlgorithms].join(", ");
    throw refuse("oidc-signing-algs", unknown, `it must be one of ${known}`);
  }
  const caFile = args["oidc-ca-file"];
  return {
    settings: settingsOf(args),
    caFile: caFile === "" ? undefined : absolute(caFile),
  };
}

function settingsOf(args: AuthenticationArgs): JwtSettings {
  const url = args["oidc-issuer-url"];
  const groups = args["oidc-groups-claim"];
  return {
    issuer: {
      url,
      discoveryUrl: "",
      ca: "",
      audiences: [args["oidc-client-id"]],
      algorithms: args["oidc-signing-algs"],
    },
    username: {
      claim: args["oidc-username-claim"],
      prefix: usernamePrefix(args),
      expression: "",
    },
    groups:
      groups === ""
        ? noSource
        : { claim: groups, prefix: args["oidc-groups-prefix"], expression: "" },
    uid: noSource,
    extra: [],
    claimRules: args["oidc-required-claim"].map(requiredClaim),
    userRules: [],
  };
}

/** Names from an issuer carry its URL, so that they are nobody else's; "-" asks for none. */
function usernamePrefix(args: AuthenticationArgs): string {
  const prefix = args["oidc-username-prefix"];
  if (prefix === "-") return "";
  if (prefix !== "") return prefix;
  return args["oidc-username-claim"] === "email" ? "" : `${args["oidc-issuer-url"]}#`;
}

function requiredClaim(pair: string): JwtSettings["claimRules"][number] {
  const [claim = "", requiredValue] = pair.split(/=(.*)/s);
  if (claim === "" || requiredValue === undefined) {
    throw refuse("oidc-required-claim", pair, "it must be of the form key=value");
  }
  return { claim, requiredValue, expression: "", message: "" };
}

function checkUrl(url: string): void {
  if (URL.canParse(url) && new URL(url).protocol === "https:") return;
  throw refuse("oidc-issuer-url", url, "it must be an https URL");
}

function refuse(name: string, value: string, why: string): Error {
  return bad("kube-apiserver-arg", `${name}=${value}`, why);
}
