import { expect, test } from "bun:test";
import { accountTokenOptionsOf } from "./account-token-args.ts";
import { admissionOf } from "./admission-args.ts";
import { apiServerArgsOf } from "./apiserver-args.ts";
import { auditOptionsOf } from "./audit-args.ts";
import { authenticationOptionsOf } from "./authentication-args.ts";
import { authorizationOptionsOf } from "./authorization-args.ts";
import { controllerManagerArgsOf } from "./controller-manager-args.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, parseArguments } from "./flags.ts";

function argsOf(...args: readonly string[]) {
  const given = args.map((one) => `--kube-apiserver-arg=${one}`);
  return apiServerArgsOf(
    completeFlags(serverFlags, parseArguments(serverFlags, given, "k3 server"), {}),
  );
}

test("componentArgsOf() fills in the component's defaults", () => {
  expect(argsOf()).toMatchObject({ "request-timeout": 60_000, "min-request-timeout": 1800 });
});

test("componentArgsOf() takes the last value of a name, with or without dashes", () => {
  const args = argsOf("request-timeout=30s", "--request-timeout=1m30s", "min-request-timeout=5");
  expect(args).toMatchObject({ "request-timeout": 90_000, "min-request-timeout": 5 });
});

test("componentArgsOf() refuses what is unknown or malformed, and says why", () => {
  const reject = (text: string, why: string) => expect(() => argsOf(text)).toThrow(why);
  const place = "Cannot use --kube-apiserver-arg=";
  reject("request-timeouts=1s", `${place}request-timeouts=1s: this version does not understand`);
  reject("request-timeouts=1s", "did you mean request-timeout?");
  reject("__proto__=1", 'does not understand the argument "__proto__"');
  reject("request-timeout=soon", 'time: invalid duration "soon"');
  reject("request-timeout=-1s", "it must not be negative");
  reject("min-request-timeout=1.5", "it must be a whole number, 0 or more");
});

test("apiServerArgsOf() keeps kube-apiserver's bounds", () => {
  expect(argsOf("goaway-chance=0.02")["goaway-chance"]).toBe(0.02);
  expect(() => argsOf("goaway-chance=0.03")).toThrow("it must be between 0 and 0.02");
  expect(argsOf("shutdown-send-retry-after")["shutdown-send-retry-after"]).toBe(true);
  const none = ["max-requests-inflight=0", "max-mutating-requests-inflight=0"] as const;
  expect(() => argsOf(...none)).toThrow("must not both be 0");
  expect(() => argsOf(...none, "enable-priority-and-fairness=false")).not.toThrow();
});

test("accountTokenOptionsOf() lets issuers be added and replaced", () => {
  const of = (...args: readonly string[]) =>
    accountTokenOptionsOf(argsOf(...args), { issuers: ["https://own"], audiences: ["own", "k3s"] });
  expect(of()).toEqual({
    issuers: ["https://own"],
    audiences: ["own", "k3s"],
    jwksUri: undefined,
    expirationSecondsMax: undefined,
    extendsExpiration: true,
  });
  expect(
    of(
      "service-account-issuer=https://new",
      "service-account-issuer=name",
      "api-audiences=a,b",
      "service-account-jwks-uri=https://keys",
      "service-account-max-token-expiration=2h",
      "service-account-extend-token-expiration=false",
    ),
  ).toEqual({
    issuers: ["https://new", "name"],
    audiences: ["a", "b"],
    jwksUri: "https://keys",
    expirationSecondsMax: 7200,
    extendsExpiration: false,
  });
  expect(() => of("service-account-max-token-expiration=1m")).toThrow("between 1 hour and");
  expect(() => of("service-account-jwks-uri=http://keys")).toThrow("it must be an https URL");
  expect(() => of("service-account-issuer=a b:c")).toThrow("was not a valid URL");
});

test("componentArgsOf() adds to a default before and after it", () => {
  const modes = (...args: readonly string[]) => argsOf(...args)["authorization-mode"];
  expect(modes("authorization-mode=RBAC", "authorization-mode=Node")).toEqual(["RBAC", "Node"]);
  expect(modes("authorization-mode+=Webhook")).toEqual(["Node", "RBAC", "Webhook"]);
  expect(modes("authorization-mode-=Webhook")).toEqual(["Webhook", "Node", "RBAC"]);
  expect(argsOf("audit-log-compress")["audit-log-compress"]).toBe(true);
  expect(argsOf("anonymous-auth")["anonymous-auth"]).toBe(true);
});

const complete = (path: string) => `/cwd/${path}`;
const wrongTogether: readonly (readonly [args: readonly string[], why: string])[] = [
  [
    ["authorization-config=a", "authorization-mode=RBAC"],
    "cannot be used with --authorization-mode",
  ],
  [["authorization-mode=RBAC,RBAC"], "it names a mode more than once"],
  [["authorization-mode=ABAC"], "it must be one of Node, RBAC"],
  [["authorization-mode=Webhook"], "authorization-webhook-config-file is missing"],
  [["authorization-webhook-config-file=a"], "the mode Webhook is not among them"],
  [["oidc-issuer-url=https://a"], "must be specified together"],
  [["oidc-issuer-url=http://a", "oidc-client-id=a"], "it must be an https URL"],
  [["oidc-issuer-url=https://a", "oidc-client-id=a", "oidc-signing-algs=none"], "must be one of"],
  [["oidc-issuer-url=https://a", "oidc-client-id=a", "oidc-required-claim=a"], "form key=value"],
  [
    ["authentication-config=a", "oidc-issuer-url=https://a", "oidc-client-id=a"],
    "it cannot be used with --oidc-issuer-url",
  ],
  [
    ["audit-log-path=a", "audit-log-truncate-max-batch-size=1"],
    "it must not be less than the maximum size of an event",
  ],
];
for (const [args, why] of wrongTogether) {
  test(`${args.join(" ")} do not fit together`, () => {
    const all = () => {
      const values = argsOf(...args);
      auditOptionsOf(values, complete);
      authenticationOptionsOf(values, complete);
      authorizationOptionsOf(values, complete);
    };
    expect(all).toThrow(why);
  });
}

test("authenticationOptionsOf() reads by which headers proxies name users", () => {
  const of = (...args: readonly string[]) =>
    authenticationOptionsOf(argsOf(...args), complete).requestHeaders;
  expect(of()).toEqual({
    allowedNames: ["system:auth-proxy"],
    usernames: ["X-Remote-User"],
    uids: [],
    groups: ["X-Remote-Group"],
    extraPrefixes: ["X-Remote-Extra-"],
  });
  const more = of("requestheader-allowed-names=a,b", "requestheader-uid-headers=X-Remote-Uid");
  expect(more).toMatchObject({ allowedNames: ["a", "b"], uids: ["X-Remote-Uid"] });
  expect(() => of("requestheader-group-headers=Groups")).toThrow("begin with X-Remote- only");
});

test("authenticationOptionsOf() reads oidc-* as upstream does", () => {
  const of = (...args: readonly string[]) => {
    const base = ["oidc-issuer-url=https://a", "oidc-client-id=us", ...args];
    return authenticationOptionsOf(argsOf(...base), complete).oidc;
  };
  expect(of("oidc-ca-file=ca.pem", "oidc-required-claim=hd=example.com=x")).toEqual({
    caFile: "/cwd/ca.pem",
    settings: {
      issuer: {
        url: "https://a",
        discoveryUrl: "",
        ca: "",
        audiences: ["us"],
        algorithms: ["RS256"],
      },
      username: { claim: "sub", prefix: "https://a#", expression: "" },
      groups: { claim: "", prefix: "", expression: "" },
      uid: { claim: "", prefix: "", expression: "" },
      extra: [],
      claimRules: [{ claim: "hd", requiredValue: "example.com=x", expression: "", message: "" }],
      userRules: [],
    },
  });
  expect(of("oidc-username-claim=email")?.settings.username.prefix).toBe("");
  expect(of("oidc-username-prefix=-")?.settings.username.prefix).toBe("");
  const groups = of("oidc-groups-claim=roles", "oidc-groups-prefix=g:")?.settings.groups;
  expect(groups).toEqual({ claim: "roles", prefix: "g:", expression: "" });
});

test("admissionOf() knows every plugin of upstream, and where their configurations are", () => {
  const of = (...args: readonly string[]) => admissionOf(argsOf(...args), complete);
  expect(of()).toEqual({ enabled: [], disabled: [], configFile: undefined });
  const named = of(
    "enable-admission-plugins=EventRateLimit,ClusterTrustBundleAttest",
    "admission-control-config-file=admission.yaml",
  );
  expect(named).toMatchObject({ enabled: ["EventRateLimit", "ClusterTrustBundleAttest"] });
  expect(named.configFile).toBe(complete("admission.yaml"));
  expect(() => of("disable-admission-plugins=Nothing")).toThrow("no plugin of that name");
});

test("controllerManagerArgsOf() knows whether nodes get ranges", () => {
  const of = (...args: readonly string[]) => {
    const given = args.map((one) => `--kube-controller-manager-arg=${one}`);
    const parsed = parseArguments(serverFlags, given, "k3 server");
    return controllerManagerArgsOf(completeFlags(serverFlags, parsed, {}));
  };
  expect(of()).toMatchObject({ "allocate-node-cidrs": true, "node-cidr-mask-size": 0 });
  expect(of("allocate-node-cidrs=false")).toMatchObject({ "allocate-node-cidrs": false });
  expect(() => of("node-monitor-period=1s")).toThrow("does not understand the argument");
});
