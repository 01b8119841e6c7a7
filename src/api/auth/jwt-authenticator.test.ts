import { expect, test } from "bun:test";
import { expressionProblem } from "../cel/claims-cel.ts";
import { decodeAuthenticationConfig, type JwtSettings } from "./authentication-config.ts";
import { userOfClaims } from "./jwt-authenticator.ts";

const head = { apiVersion: "apiserver.config.k8s.io/v1", kind: "AuthenticationConfiguration" };
const issuer = { url: "https://issuer.test", audiences: ["us"] };
const username = { claim: "sub", prefix: "it:" };
const checks = { ownIssuers: ["https://own"], check: expressionProblem };
const decode = (jwt: object, more: object = {}) =>
  decodeAuthenticationConfig({ ...head, jwt: [jwt], ...more }, checks);

function settings(mappings: object, more: object = {}): JwtSettings {
  const [found] = decode({ issuer, claimMappings: { username, ...mappings }, ...more }).jwt;
  if (found === undefined) throw new Error("there is one");
  return found;
}

const claims = {
  sub: "jane",
  roles: ["dev", "ops"],
  team: "web",
  id: "7",
  level: 3,
  email: "jane@example.com",
  email_verified: true,
};

test("userOfClaims() maps claims, with prefixes", async () => {
  const by = settings({
    groups: { claim: "roles", prefix: "g:" },
    uid: { claim: "id" },
    extra: [{ key: "example.com/team", valueExpression: "claims.team" }],
  });
  expect(await userOfClaims(by, claims)).toEqual({
    name: "it:jane",
    groups: ["g:dev", "g:ops"],
    uid: "7",
    extra: { "example.com/team": ["web"] },
  });
  const single = settings({ groups: { claim: "team", prefix: "" } });
  expect((await userOfClaims(single, claims)).groups).toEqual(["web"]);
  const absent = settings({ groups: { claim: "none", prefix: "" } });
  expect((await userOfClaims(absent, claims)).groups).toEqual([]);
});

test("userOfClaims() maps by expressions", async () => {
  const by = settings({
    username: { expression: "claims.sub + ':' + claims.team" },
    groups: { expression: "claims.roles.filter(r, r != 'ops')" },
    uid: { expression: "string(claims.level)" },
    extra: [{ key: "example.com/none", valueExpression: "claims.?absent.orValue('')" }],
  });
  expect(await userOfClaims(by, claims)).toEqual({
    name: "jane:web",
    groups: ["dev"],
    uid: "3",
    extra: {},
  });
});

const refused: readonly (readonly [JwtSettings, object, string])[] = [
  [settings({}), { sub: 7 }, 'parse username claims "sub"'],
  [
    settings({ username: { claim: "email", prefix: "" } }),
    { email_verified: false },
    "not verified",
  ],
  [settings({ username: { expression: "claims.none" } }), {}, "no such key"],
  [settings({ username: { expression: "''" } }), {}, "username claim expression must return"],
  [settings({ groups: { claim: "level", prefix: "" } }), {}, "neither a string nor a list"],
  [settings({ uid: { claim: "level" } }), {}, "the uid is no string"],
  [
    settings({}, { claimValidationRules: [{ claim: "team", requiredValue: "db" }] }),
    {},
    "required claim team value does not match",
  ],
  [
    settings({}, { claimValidationRules: [{ claim: "hd", requiredValue: "db" }] }),
    {},
    "required claim hd not present in ID token",
  ],
  [
    settings({}, { claimValidationRules: [{ expression: "claims.level > 3", message: "low" }] }),
    {},
    "validation expression 'claims.level > 3' failed: low",
  ],
  [
    settings(
      { groups: { claim: "roles", prefix: "" } },
      { userValidationRules: [{ expression: "!('ops' in user.groups)", message: "no ops" }] },
    ),
    {},
    "failed: no ops",
  ],
];
for (const [by, more, why] of refused) {
  test(`userOfClaims() refuses: ${why}`, async () => {
    await expect(userOfClaims(by, { ...claims, ...more })).rejects.toThrow(why);
  });
}

const ok = { issuer, claimMappings: { username } };
const wrong: readonly (readonly [jwt: object, why: string])[] = [
  [{ ...ok, issuer: { audiences: ["a"] } }, "jwt[0].issuer.url: Required value"],
  [{ ...ok, issuer: { ...issuer, url: "http://a" } }, "URL scheme must be https"],
  [
    { ...ok, issuer: { ...issuer, url: "https://own" } },
    "must not overlap with disallowed issuers",
  ],
  [{ ...ok, issuer: { ...issuer, url: "https://u:p@a?q#f" } }, "must not contain a query"],
  [{ ...ok, issuer: { ...issuer, discoveryURL: `${issuer.url}/` } }, "must be different from URL"],
  [{ ...ok, issuer: { ...issuer, audiences: [] } }, "at least one jwt[0].issuer.audiences is"],
  [{ ...ok, issuer: { ...issuer, audiences: ["a", "b"] } }, "must be MatchAny for multiple"],
  [{ ...ok, issuer: { ...issuer, certificateAuthority: "x" } }, 'Invalid value: "<omitted>"'],
  [{ ...ok, issuer: { ...issuer, more: 1 } }, 'unknown field "jwt[0].issuer.more"'],
  [{ issuer, claimMappings: {} }, "username: Required value: claim or expression is required"],
  [{ issuer, claimMappings: { username: { claim: "a" } } }, "prefix is required when claim is set"],
  [
    { issuer, claimMappings: { username: { claim: "a", prefix: "", expression: "b" } } },
    "claim and expression can't both be set",
  ],
  [
    { issuer, claimMappings: { username: { expression: "claims.email" } } },
    "claims.email_verified must be used in",
  ],
  [{ issuer, claimMappings: { username: { expression: "claims.(" } } }, "username.expression:"],
  [
    {
      issuer,
      claimMappings: { username, extra: [{ key: "k8s.io/a", valueExpression: "'a'" }] },
    },
    "are reserved for Kubernetes use",
  ],
  [{ ...ok, claimValidationRules: [{}] }, "claim or expression is required"],
  [{ ...ok, claimValidationRules: [{ claim: "a", message: "b" }] }, "may not be specified when"],
  [{ ...ok, userValidationRules: [{}] }, "userValidationRules[0].expression: Required value"],
];
for (const [jwt, why] of wrong) {
  test(`decodeAuthenticationConfig() refuses: ${why}`, () => {
    expect(() => decode(jwt)).toThrow(why);
  });
}

test("decodeAuthenticationConfig() reads who may be anonymous", () => {
  const anonymous = { enabled: true, conditions: [{ path: "/livez" }] };
  expect(decode(ok, { anonymous }).anonymous).toEqual({ isEnabled: true, paths: ["/livez"] });
  expect(decode(ok).anonymous).toBeUndefined();
  const off = { ...anonymous, enabled: false };
  expect(() => decode(ok, { anonymous: off })).toThrow("enabled should be set to true when");
});
