/** Tokens of OpenID issuers become users, as their claims are mapped (KEP-3331). */
import type { Claims } from "../../pki/jwt-issuer.ts";
import type { User } from "../request.ts";
import type { ClaimSource, JwtSettings } from "./authentication-config.ts";

/** Throws Error that says why the claims make no user. */
export async function userOfClaims(settings: JwtSettings, claims: Claims): Promise<User> {
  const user: User = {
    name: await nameOf(settings.username, claims),
    groups: await groupsOf(settings.groups, claims),
    uid: await uidOf(settings.uid, claims),
    extra: await extraOf(settings.extra, claims),
  };
  await checkClaims(settings.claimRules, claims);
  await checkUser(settings.userRules, user);
  return user;
}

async function valueOfExpression(expression: string, claims: Claims): Promise<unknown> {
  // CEL is only loaded where somebody uses it.
  const { claimValue } = await import("../cel/claims-cel.ts");
  return claimValue(expression, claims);
}

async function nameOf({ claim, prefix, expression }: ClaimSource, claims: Claims): Promise<string> {
  if (expression !== "") {
    const name = await valueOfExpression(expression, claims);
    if (typeof name === "string" && name !== "") return name;
    throw new Error("oidc: username claim expression must return a string that is not empty");
  }
  const name = claims[claim];
  if (typeof name !== "string") throw new Error(`oidc: parse username claims "${claim}"`);
  // The issuer says whether it has seen that the address belongs to the user.
  if (claim === "email" && claims.email_verified !== undefined && claims.email_verified !== true) {
    throw new Error("oidc: email not verified");
  }
  return `${prefix}${name}`;
}

async function groupsOf(
  { claim, prefix, expression }: ClaimSource,
  claims: Claims,
): Promise<readonly string[]> {
  if (expression !== "") return texts(await valueOfExpression(expression, claims), expression);
  if (claim === "" || claims[claim] === undefined) return [];
  const value = claims[claim];
  // One group may stand alone, without a list.
  const groups = typeof value === "string" ? [value] : texts(value, claim);
  return groups.map((group) => `${prefix}${group}`);
}

async function uidOf({ claim, expression }: ClaimSource, claims: Claims): Promise<string> {
  if (expression === "" && claim === "") return "";
  const uid = expression === "" ? claims[claim] : await valueOfExpression(expression, claims);
  if (typeof uid === "string") return uid;
  throw new Error("oidc: the uid is no string");
}

async function extraOf(extra: JwtSettings["extra"], claims: Claims): Promise<User["extra"]> {
  const found: Record<string, readonly string[]> = {};
  for (const { key, expression } of extra) {
    const values = texts(await valueOfExpression(expression, claims), expression);
    if (values.length > 0) found[key] = values;
  }
  return found;
}

/** A text, a list of texts, or nothing; an empty text is nothing too. */
function texts(value: unknown, what: string): readonly string[] {
  if (value === null || value === undefined || value === "") return [];
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) {
    return value.filter((one) => one !== "");
  }
  throw new Error(`oidc: "${what}" gives neither a string nor a list of strings`);
}

async function checkClaims(rules: JwtSettings["claimRules"], claims: Claims): Promise<void> {
  for (const { claim, requiredValue } of rules) {
    if (claim === "") continue;
    if (claims[claim] === requiredValue) continue;
    const why = claim in claims ? "value does not match" : "not present in ID token";
    throw new Error(`oidc: required claim ${claim} ${why}`);
  }
  for (const { expression, message } of rules) {
    if (expression === "" || (await valueOfExpression(expression, claims)) === true) continue;
    throw new Error(`oidc: validation expression '${expression}' failed: ${message}`);
  }
}

async function checkUser(rules: JwtSettings["userRules"], user: User): Promise<void> {
  if (rules.length === 0) return;
  const { userHolds } = await import("../cel/claims-cel.ts");
  for (const { expression, message } of rules) {
    if (await userHolds(expression, user)) continue;
    throw new Error(`oidc: validation expression '${expression}' failed: ${message}`);
  }
}
