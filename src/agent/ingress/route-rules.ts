/** What an Ingress's annotations ask of a request before it may pass. */
import ipaddr from "ipaddr.js";
import { type AnswerFields, type Decision, plainAnswer } from "./decision.ts";
import { redirectUrl } from "./filters.ts";
import { fieldOf } from "./header-fields.ts";
import { isPassword } from "./passwords.ts";
import type { Request } from "./request-out.ts";
import type { Match } from "./route-matcher.ts";
import type { BasicAuthRules, CorsRules, Route } from "./route-table.ts";

export interface Asked {
  readonly request: Request;
  readonly match: Match;
  readonly path: string;
  /** With its question mark. */
  readonly query: string;
}

/** Lets pass by `forward`, which is given what the answer gets besides. */
export function checkRules(
  asked: Asked,
  forward: (fields: AnswerFields) => Decision,
): Decision | Promise<Decision> {
  const { request, match, path, query } = asked;
  const { route } = match;
  const { rules } = route;
  if (isEmpty(rules)) return forward(none);
  if (rules.refusal !== undefined) return plainAnswer(503, "no available server", route);
  if (rules.redirectsToTls && request.entryPoint === "web") {
    const host = request.host.replace(/:\d*$/, "");
    return redirect(308, `https://${host}${path}${query}`, route);
  }
  if (!isAllowed(request.clientIp, route)) return plainAnswer(403, "Forbidden", route);
  if (rules.redirect !== undefined)
    return redirect(rules.redirect.status, rules.redirect.url, route);
  if (rules.redirectTo !== undefined) {
    const at = { prefix: route.path, path, query };
    return redirect(rules.redirectTo.status, redirectUrl(rules.redirectTo, request, at), route);
  }
  if (rules.appRoot !== undefined && path === "/") return redirect(302, rules.appRoot, route);
  const cors = rules.cors === undefined ? none : corsFields(rules.cors, request);
  const isPreflight =
    request.method === "OPTIONS" &&
    fieldOf(request.fields, "access-control-request-method") !== undefined;
  if (rules.cors !== undefined && isPreflight) {
    return { type: "answer", status: 204, fields: cors, body: "", route };
  }
  if (rules.basicAuth === undefined) return forward(cors);
  return authenticate(rules.basicAuth, request, (isRight) =>
    isRight ? forward(cors) : challenge(rules.basicAuth?.realm ?? "", route),
  );
}

const none: AnswerFields = [];

/** Most routes ask for nothing: found out without a list of names for each request. */
function isEmpty(rules: object): boolean {
  for (const _ in rules) return false;
  return true;
}

function redirect(status: number, url: string, route: Route): Decision {
  return { type: "answer", status, fields: [["Location", url]], body: "", route };
}

function challenge(realm: string, route: Route): Decision {
  const quoted = realm.replace(/["\\]|[^ -~]/g, "");
  const answer = plainAnswer(401, "Unauthorized", route);
  const asks = ["WWW-Authenticate", `Basic realm="${quoted}"`] as const;
  return { ...answer, fields: [...answer.fields, asks] };
}

type Ranges = readonly ReturnType<typeof ipaddr.parseCIDR>[];

/** Read once for each list. */
const ranges = new WeakMap<readonly string[], Ranges>();

function rangesOf(list: readonly string[]): Ranges {
  const known = ranges.get(list);
  if (known !== undefined) return known;
  const parsed = list.map((text) => ipaddr.parseCIDR(text));
  ranges.set(list, parsed);
  return parsed;
}

function isAllowed(clientIp: string, { rules }: Route): boolean {
  const { allowedSources, deniedSources } = rules;
  if (allowedSources === undefined && deniedSources === undefined) return true;
  // Who has gone already has no address any more.
  if (!ipaddr.isValid(clientIp)) return false;
  const client = ipaddr.process(clientIp);
  const isIn = (list: readonly string[]): boolean =>
    rangesOf(list).some(
      (range) => range[0].kind() === client.kind() && client.match(range as never),
    );
  if (deniedSources !== undefined && isIn(deniedSources)) return false;
  return allowedSources === undefined || isIn(allowedSources);
}

function corsFields(rules: CorsRules, { fields, method }: Request): AnswerFields {
  const origin = fieldOf(fields, "origin") ?? "";
  const allowed = rules.origins.includes("*")
    ? "*"
    : rules.origins.some((one) => isOrigin(one, origin))
      ? origin
      : undefined;
  if (allowed === undefined) return [["Vary", "Origin"]];
  const answer: (readonly [string, string])[] = [["Access-Control-Allow-Origin", allowed]];
  if (allowed !== "*") answer.push(["Vary", "Origin"]);
  if (rules.credentials) answer.push(["Access-Control-Allow-Credentials", "true"]);
  if (rules.exposed !== "") answer.push(["Access-Control-Expose-Headers", rules.exposed]);
  if (method === "OPTIONS") {
    answer.push(
      ["Access-Control-Allow-Methods", rules.methods],
      ["Access-Control-Allow-Headers", rules.headers],
      ["Access-Control-Max-Age", rules.maxAge],
    );
  }
  return answer;
}

/** `https://*.example.com` is any one label more. */
function isOrigin(rule: string, origin: string): boolean {
  const star = rule.indexOf("*.");
  if (star === -1) return rule === origin;
  const [before, after] = [rule.slice(0, star), rule.slice(star + 1)];
  if (!origin.startsWith(before) || !origin.endsWith(after)) return false;
  const label = origin.slice(before.length, origin.length - after.length);
  return /^[A-Za-z0-9-]+$/.test(label);
}

function authenticate(
  { users }: BasicAuthRules,
  { fields }: Request,
  decide: (isRight: boolean) => Decision,
): Decision | Promise<Decision> {
  const [, encoded] =
    /^Basic +([A-Za-z0-9+/=]+)$/i.exec(fieldOf(fields, "authorization") ?? "") ?? [];
  if (encoded === undefined) return decide(false);
  const given = Buffer.from(encoded, "base64").toString("utf8");
  const colon = given.indexOf(":");
  const user = given.slice(0, colon);
  const hash = Object.hasOwn(users, user) ? users[user] : undefined;
  if (colon === -1 || hash === undefined) return decide(false);
  const isRight = isPassword(given.slice(colon + 1), hash);
  return typeof isRight === "boolean" ? decide(isRight) : isRight.then(decide);
}
