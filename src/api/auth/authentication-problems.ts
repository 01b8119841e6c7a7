/** What is wrong with the issuers of an AuthenticationConfiguration, in upstream's words. */
import { invalidText, requiredText } from "../config-reader.ts";
import type {
  CheckExpression,
  ClaimRule,
  ClaimSource,
  JwtChecks,
  JwtSettings,
  ReadJwt,
  ReadSource,
} from "./authentication-config.ts";

/** Each issuer stands once. */
export function repeatedIssuers(jwt: readonly ReadJwt[]): readonly string[] {
  const problems: string[] = [];
  for (const [member, textOf] of [
    ["url", ({ issuer }: ReadJwt) => issuer.url],
    ["discoveryURL", ({ issuer }: ReadJwt) => issuer.discoveryUrl],
  ] as const) {
    const texts = jwt.map(textOf);
    for (const [index, text] of texts.entries()) {
      if (text === "" || texts.indexOf(text) === index) continue;
      problems.push(`jwt[${index}].issuer.${member}: Duplicate value: ${JSON.stringify(text)}`);
    }
  }
  return problems;
}

export function jwtProblems(
  settings: ReadJwt,
  path: string,
  { ownIssuers, check }: JwtChecks,
): readonly string[] {
  const mappings = `${path}.claimMappings`;
  return [
    ...issuerProblems(settings, `${path}.issuer`, ownIssuers),
    ...claimRuleProblems(settings.claimRules, `${path}.claimValidationRules`, check),
    ...sourceProblems(settings.username, `${mappings}.username`, check, true),
    ...sourceProblems(settings.groups, `${mappings}.groups`, check, false),
    ...uidProblems(settings.uid, `${mappings}.uid`, check),
    ...extraProblems(settings.extra, `${mappings}.extra`, check),
    ...emailProblems(settings, `${mappings}.username.expression`),
    ...userRuleProblems(settings.userRules, `${path}.userValidationRules`, check),
  ];
}

function issuerProblems(
  { issuer, matchPolicy }: ReadJwt,
  path: string,
  ownIssuers: readonly string[],
): readonly string[] {
  const { url, discoveryUrl, audiences, ca } = issuer;
  const trimmed = (text: string): string => text.replace(/\/+$/, "");
  const isSame = discoveryUrl !== "" && trimmed(url) === trimmed(discoveryUrl);
  const different = "discoveryURL must be different from URL";
  const hasCertificates = /-----BEGIN CERTIFICATE-----/.test(ca);
  return [
    ...(url === "" ? [requiredText(`${path}.url`)] : urlProblems(url, `${path}.url`, ownIssuers)),
    ...(isSame ? [invalidText(`${path}.discoveryURL`, discoveryUrl, different)] : []),
    ...(discoveryUrl === "" ? [] : urlProblems(discoveryUrl, `${path}.discoveryURL`, [])),
    ...audienceProblems(audiences, matchPolicy, path),
    ...(ca === "" || hasCertificates
      ? []
      : [
          invalidText(
            `${path}.certificateAuthority`,
            "<omitted>",
            "data does not contain any valid RSA or ECDSA certificates",
          ),
        ]),
  ];
}

function urlProblems(text: string, path: string, forbidden: readonly string[]): readonly string[] {
  if (!URL.canParse(text)) return [invalidText(path, text, "it is no URL")];
  const url = new URL(text);
  const problems: string[] = [];
  const say = (why: string): void => void problems.push(invalidText(path, text, why));
  if (forbidden.includes(text)) {
    say(`URL must not overlap with disallowed issuers: [${forbidden.join(" ")}]`);
  }
  if (url.protocol !== "https:") say("URL scheme must be https");
  if (url.username !== "" || url.password !== "") {
    say("URL must not contain a username or password");
  }
  if (url.search !== "") say("URL must not contain a query");
  if (url.hash !== "") say("URL must not contain a fragment");
  return problems;
}

function audienceProblems(
  audiences: readonly string[],
  matchPolicy: string,
  path: string,
): readonly string[] {
  const place = `${path}.audiences`;
  if (audiences.length === 0) {
    return [requiredText(place, `at least one ${place} is required`)];
  }
  const problems = audiences.flatMap((audience, index) => {
    if (audience === "") return [requiredText(`${place}[${index}]`)];
    if (audiences.indexOf(audience) === index) return [];
    return [`${place}[${index}]: Duplicate value: ${JSON.stringify(audience)}`];
  });
  const [isAny, isOne] = [matchPolicy === "MatchAny", audiences.length === 1];
  if (isAny || (isOne && matchPolicy === "")) return problems;
  const why = isOne
    ? "audienceMatchPolicy must be empty or MatchAny for single audience"
    : "audienceMatchPolicy must be MatchAny for multiple audiences";
  return [...problems, invalidText(`${path}.audienceMatchPolicy`, matchPolicy, why)];
}

function expressionProblems(
  about: "claims" | "user",
  expression: string,
  path: string,
  check: CheckExpression,
): readonly string[] {
  const problem = expression === "" ? undefined : check(about, expression);
  return problem === undefined ? [] : [invalidText(path, expression, problem)];
}

function claimRuleProblems(
  rules: readonly ClaimRule[],
  path: string,
  check: CheckExpression,
): readonly string[] {
  const seen = new Set<string>();
  return rules.flatMap(({ claim, requiredValue, expression, message }, index) => {
    const place = `${path}[${index}]`;
    if (claim !== "" && expression !== "") {
      return [invalidText(place, claim, "claim and expression can't both be set")];
    }
    if (claim === "" && expression === "") {
      return [requiredText(place, "claim or expression is required")];
    }
    const member = claim === "" ? "expression" : "claim";
    const key = `${member} ${claim}${expression}`;
    const isRepeated = seen.has(key);
    seen.add(key);
    const text = JSON.stringify(claim === "" ? expression : claim);
    const [other, value] = claim === "" ? ["requiredValue", requiredValue] : ["message", message];
    return [
      ...(value === ""
        ? []
        : [invalidText(`${place}.${other}`, value, `may not be specified when ${member} is set`)]),
      ...(isRepeated ? [`${place}.${member}: Duplicate value: ${text}`] : []),
      ...expressionProblems("claims", expression, `${place}.expression`, check),
    ];
  });
}

function sourceProblems(
  { claim, prefix, expression }: ReadSource,
  path: string,
  check: CheckExpression,
  isNeeded: boolean,
): readonly string[] {
  if (claim !== "" && expression !== "") {
    return [invalidText(path, "", "claim and expression can't both be set")];
  }
  if (claim === "" && expression === "") {
    return isNeeded ? [requiredText(path, "claim or expression is required")] : [];
  }
  if (claim !== "") {
    if (prefix !== undefined) return [];
    const why =
      "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
    return [requiredText(`${path}.prefix`, why)];
  }
  const prefixed = "may not be specified when expression is set";
  return [
    ...(prefix === undefined ? [] : [invalidText(`${path}.prefix`, prefix, prefixed)]),
    ...expressionProblems("claims", expression, `${path}.expression`, check),
  ];
}

function uidProblems({ claim, expression }: ClaimSource, path: string, check: CheckExpression) {
  if (claim !== "" && expression !== "") {
    return [invalidText(path, "", "claim and expression can't both be set")];
  }
  return expressionProblems("claims", expression, `${path}.expression`, check);
}

const ownDomain = /(^|\.)(kubernetes|k8s)\.io$/;

function extraProblems(
  extra: JwtSettings["extra"],
  path: string,
  check: CheckExpression,
): readonly string[] {
  const keys = extra.map(({ key }) => key);
  return extra.flatMap(({ key, expression }, index) => {
    const place = `${path}[${index}]`;
    const say = (why: string): string => invalidText(`${place}.key`, key, why);
    const prefixed = /^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?\/.+$/.test(key);
    return [
      ...(key === "" ? [requiredText(`${place}.key`)] : []),
      ...(key === "" || prefixed
        ? []
        : [say('must be a domain-prefixed path (such as "acme.io/foo")')]),
      ...(key === key.toLowerCase() ? [] : [say("must be lowercase")]),
      ...(ownDomain.test(key.split("/")[0] ?? "")
        ? [say("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")]
        : []),
      ...(keys.indexOf(key) === index
        ? []
        : [`${place}.key: Duplicate value: ${JSON.stringify(key)}`]),
      ...(expression === "" ? [requiredText(`${place}.valueExpression`)] : []),
      ...expressionProblems("claims", expression, `${place}.valueExpression`, check),
    ];
  });
}

/** An address of mail names a user only when the issuer has checked it. */
function emailProblems({ username, extra, claimRules }: ReadJwt, path: string): readonly string[] {
  const asks = (name: string, { expression }: { readonly expression: string }): boolean =>
    new RegExp(`\\bclaims\\s*\\.\\s*\\??\\s*${name}\\b`).test(expression);
  const isChecked = [username, ...extra, ...claimRules].some((one) => asks("email_verified", one));
  if (!asks("email", username) || isChecked) return [];
  const why =
    "claims.email_verified must be used in claimMappings.username.expression or " +
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when " +
    "claims.email is used in claimMappings.username.expression";
  return [invalidText(path, username.expression, why)];
}

function userRuleProblems(
  rules: JwtSettings["userRules"],
  path: string,
  check: CheckExpression,
): readonly string[] {
  const expressions = rules.map(({ expression }) => expression);
  return rules.flatMap(({ expression }, index) => {
    const place = `${path}[${index}].expression`;
    if (expression === "") return [requiredText(place)];
    if (expressions.indexOf(expression) !== index) {
      return [`${place}: Duplicate value: ${JSON.stringify(expression)}`];
    }
    return expressionProblems("user", expression, place, check);
  });
}
