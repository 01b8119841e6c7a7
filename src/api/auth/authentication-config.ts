/** AuthenticationConfiguration (apiserver.config.k8s.io/v1): whose tokens are believed, and how. */
import {
  type ConfigRecord,
  flagAt,
  invalidText,
  knownMembers,
  listAt,
  recordAt,
  textAt,
  textsAt,
  throwProblems,
} from "../config-reader.ts";
import { jwtProblems, repeatedIssuers } from "./authentication-problems.ts";

export interface JwtIssuer {
  readonly url: string;
  /** "" finds the discovery document below `url`. */
  readonly discoveryUrl: string;
  /** PEM; "" trusts what the machine trusts. */
  readonly ca: string;
  readonly audiences: readonly string[];
  /** Undefined allows every signature by a key pair. */
  readonly algorithms?: readonly string[];
}

/** Where a value comes from: a claim, with a text before it, or a CEL expression. */
export interface ClaimSource {
  readonly claim: string;
  readonly prefix: string;
  readonly expression: string;
}

export interface ClaimRule {
  readonly claim: string;
  readonly requiredValue: string;
  readonly expression: string;
  readonly message: string;
}

export interface JwtSettings {
  readonly issuer: JwtIssuer;
  readonly claimRules: readonly ClaimRule[];
  readonly username: ClaimSource;
  readonly groups: ClaimSource;
  readonly uid: ClaimSource;
  readonly extra: readonly { readonly key: string; readonly expression: string }[];
  readonly userRules: readonly { readonly expression: string; readonly message: string }[];
}

export interface AnonymousSettings {
  readonly isEnabled: boolean;
  /** The only paths that nobody in particular may ask for; undefined is any. */
  readonly paths: readonly string[] | undefined;
}

export interface AuthenticationSettings {
  readonly jwt: readonly JwtSettings[];
  /** Undefined leaves it to the flags. */
  readonly anonymous: AnonymousSettings | undefined;
}

export interface JwtChecks {
  /** Those of the server's own tokens, which no other may claim to be. */
  readonly ownIssuers: readonly string[];
  readonly check: CheckExpression;
}

/** What is wrong with an expression over `claims` or over `user`; undefined when nothing is. */
export type CheckExpression = (about: "claims" | "user", expression: string) => string | undefined;

const limits = { issuersMax: 64 } as const;
const versions = ["v1", "v1beta1", "v1alpha1"].map((one) => `apiserver.config.k8s.io/${one}`);

export const noSource: ClaimSource = { claim: "", prefix: "", expression: "" };

/** Throws Error that says in upstream's words all that is wrong. */
export function decodeAuthenticationConfig(value: unknown, by: JwtChecks): AuthenticationSettings {
  const root = recordAt(value, "");
  const [apiVersion, kind] = [textAt(root.apiVersion, "apiVersion"), textAt(root.kind, "kind")];
  if (!versions.includes(apiVersion) || kind !== "AuthenticationConfiguration") {
    throw new Error(`no kind "${kind}" is registered for version "${apiVersion}"`);
  }
  knownMembers(root, "", ["apiVersion", "kind", "jwt", "anonymous"]);
  const list = listAt(root.jwt, "jwt");
  if (list.length > limits.issuersMax) {
    throw new Error(`jwt: Too many: ${list.length}: must have at most ${limits.issuersMax} items`);
  }
  const problems: string[] = [];
  const jwt = list.map((one, index) => {
    const path = `jwt[${index}]`;
    const settings = readJwt(recordAt(one, path), path);
    problems.push(...jwtProblems(settings, path, by));
    return settings;
  });
  problems.push(...repeatedIssuers(jwt));
  const anonymous = readAnonymous(root.anonymous, problems);
  throwProblems(problems);
  return { jwt: jwt.map(settingsOf), anonymous };
}

/** As read: what is absent differs from what is empty. */
export interface ReadJwt extends Omit<JwtSettings, "username" | "groups"> {
  readonly username: ReadSource;
  readonly groups: ReadSource;
  readonly matchPolicy: string;
}

export interface ReadSource extends Omit<ClaimSource, "prefix"> {
  readonly prefix: string | undefined;
}

function settingsOf({ matchPolicy: _, username, groups, ...rest }: ReadJwt): JwtSettings {
  const whole = (source: ReadSource): ClaimSource => ({ ...source, prefix: source.prefix ?? "" });
  return { ...rest, username: whole(username), groups: whole(groups) };
}

function readJwt(record: ConfigRecord, path: string): ReadJwt {
  const members = ["issuer", "claimValidationRules", "claimMappings", "userValidationRules"];
  knownMembers(record, path, members);
  const issuer = recordAt(record.issuer, `${path}.issuer`);
  const mappings = recordAt(record.claimMappings, `${path}.claimMappings`);
  knownMembers(mappings, `${path}.claimMappings`, ["username", "groups", "uid", "extra"]);
  return {
    issuer: readIssuer(issuer, `${path}.issuer`),
    matchPolicy: textAt(issuer.audienceMatchPolicy, `${path}.issuer.audienceMatchPolicy`),
    claimRules: recordsAt(record.claimValidationRules, `${path}.claimValidationRules`, [
      "claim",
      "requiredValue",
      "expression",
      "message",
    ]),
    username: readSource(mappings.username, `${path}.claimMappings.username`),
    groups: readSource(mappings.groups, `${path}.claimMappings.groups`),
    uid: { ...readSource(mappings.uid, `${path}.claimMappings.uid`), prefix: "" },
    extra: recordsAt(mappings.extra, `${path}.claimMappings.extra`, ["key", "valueExpression"]).map(
      ({ key, valueExpression: expression }) => ({ key, expression }),
    ),
    userRules: recordsAt(record.userValidationRules, `${path}.userValidationRules`, [
      "expression",
      "message",
    ]),
  };
}

function readIssuer(record: ConfigRecord, path: string): JwtIssuer {
  const texts = ["url", "discoveryURL", "certificateAuthority"] as const;
  const more = ["audiences", "audienceMatchPolicy", "egressSelectorType"];
  knownMembers(record, path, [...texts, ...more]);
  const [url = "", discoveryUrl = "", ca = ""] = texts.map((name) =>
    textAt(record[name], `${path}.${name}`),
  );
  return { url, discoveryUrl, ca, audiences: textsAt(record.audiences, `${path}.audiences`) };
}

function readSource(value: unknown, path: string): ReadSource {
  const record = recordAt(value, path);
  knownMembers(record, path, ["claim", "prefix", "expression"]);
  return {
    claim: textAt(record.claim, `${path}.claim`),
    prefix: record.prefix === undefined ? undefined : textAt(record.prefix, `${path}.prefix`),
    expression: textAt(record.expression, `${path}.expression`),
  };
}

/** A list of records whose members are texts. */
function recordsAt<K extends string>(
  value: unknown,
  path: string,
  names: readonly K[],
): readonly Readonly<Record<K, string>>[] {
  return listAt(value, path).map((one, index) => {
    const place = `${path}[${index}]`;
    const record = recordAt(one, place);
    knownMembers(record, place, names);
    const texts = names.map((name) => [name, textAt(record[name], `${place}.${name}`)]);
    return Object.fromEntries(texts) as Record<K, string>;
  });
}

function readAnonymous(value: unknown, problems: string[]): AnonymousSettings | undefined {
  if (value === undefined || value === null) return undefined;
  const record = recordAt(value, "anonymous");
  knownMembers(record, "anonymous", ["enabled", "conditions"]);
  const isEnabled = flagAt(record.enabled, "anonymous.enabled") ?? false;
  const conditions = recordsAt(record.conditions, "anonymous.conditions", ["path"]);
  if (!isEnabled && conditions.length > 0) {
    const why = "enabled should be set to true when conditions are defined";
    problems.push(invalidText("anonymous.conditions", conditions, why));
  }
  const paths = conditions.map(({ path }) => path);
  return { isEnabled, paths: paths.length === 0 ? undefined : paths };
}
