/** What annotations of Traefik and of ingress-nginx mean for the routes of an Ingress. */
import ipaddr from "ipaddr.js";
import {
  bytes,
  defined,
  isTrue,
  milliseconds,
  splitList,
  wholeNumber,
} from "./annotation-values.ts";
import type { CanaryRules, CorsRules, EntryPoint, RouteRules } from "./route-table.ts";

export type Annotations = Readonly<Record<string, string>>;

export const traefik = "traefik.ingress.kubernetes.io/";
export const nginx = "nginx.ingress.kubernetes.io/";

/**
 * They keep people out, or are text of another program's configuration. Left out silently they
 * would let everybody in, so an Ingress that has one is not served.
 */
const guards: readonly string[] = [
  `${traefik}router.middlewares`,
  `${traefik}router.tls.options`,
  ...[
    "auth-url",
    "auth-tls-secret",
    "auth-tls-verify-client",
    "configuration-snippet",
    "server-snippet",
    "auth-snippet",
    "modsecurity-snippet",
    "enable-modsecurity",
    "limit-rps",
    "limit-rpm",
    "limit-connections",
  ].map((name) => `${nginx}${name}`),
];

export interface RouterSettings {
  readonly entryPoints: readonly EntryPoint[];
  readonly priority: number | undefined;
  /** Paths of unspecific type are regular expressions. */
  readonly usesRegexp: boolean;
  /** How `ImplementationSpecific` paths match. */
  readonly unspecific: "exact" | "start" | "regexp";
  /** What backends speak, where their Service does not say. */
  readonly protocol: "http" | "https" | "h2c" | "h2" | undefined;
  readonly rules: RouteRules;
  /** The Secret that knows the users. */
  readonly auth: AuthWanted | undefined;
  /** It serves part of what another Ingress routes. */
  readonly canary: Omit<CanaryRules, "backend"> | undefined;
}

export interface AuthWanted {
  readonly secretName: string;
  readonly realm: string;
  /** "file": lines of htpasswd under `auth`; "map": a hash for each user. */
  readonly form: "file" | "map";
}

const bothEntryPoints: readonly EntryPoint[] = ["web", "websecure"];

/** `hasTls`: some of its hosts have a certificate. */
export function routerSettings(annotations: Annotations, hasTls: boolean): RouterSettings {
  const of = (name: string): string | undefined => annotations[name]?.trim();
  const nginxOf = (name: string): string | undefined => of(`${nginx}${name}`);
  const rewriteTarget = nginxOf("rewrite-target");
  const usesRegexp = isTrue(nginxOf("use-regex")) || /\$\d/.test(rewriteTarget ?? "");
  const pathMatcher = of(`${traefik}router.pathmatcher`);
  return {
    entryPoints: entryPointsOf(annotations),
    priority: wholeNumber(of(`${traefik}router.priority`)),
    usesRegexp,
    unspecific:
      pathMatcher === "Path" ? "exact" : pathMatcher === "PathRegexp" ? "regexp" : "start",
    protocol: protocols[nginxOf("backend-protocol")?.toUpperCase() ?? ""],
    rules: rulesOf(annotations, hasTls),
    auth: authOf(nginxOf),
    canary: canaryOf(nginxOf),
  };
}

type Read = (name: string) => string | undefined;

const protocols: Readonly<Record<string, "http" | "https" | "h2c" | "h2">> = {
  HTTP: "http",
  HTTPS: "https",
  GRPC: "h2c",
  GRPCS: "h2",
};

function entryPointsOf(annotations: Annotations): readonly EntryPoint[] {
  const named = annotations[`${traefik}router.entrypoints`];
  const asked =
    named === undefined
      ? bothEntryPoints
      : bothEntryPoints.filter((one) => splitList(named).includes(one));
  // A router with TLS takes nothing that comes in plain text.
  const tlsOnly = isTrue(annotations[`${traefik}router.tls`]);
  return tlsOnly ? asked.filter((one) => one === "websecure") : asked;
}

function rulesOf(annotations: Annotations, hasTls: boolean): RouteRules {
  const of: Read = (name) => annotations[`${nginx}${name}`]?.trim();
  const logs = annotations[`${traefik}router.observability.accesslogs`];
  return defined<RouteRules>({
    refusal: refusalOf(annotations),
    rewriteTarget: /^[!-~]+$/.exec(of("rewrite-target") ?? "")?.[0],
    redirectsToTls:
      isTrue(of("force-ssl-redirect")) || (hasTls && isTrue(of("ssl-redirect"))) || undefined,
    redirect: redirectOf(of),
    appRoot: /^\/[!-~]*$/.exec(of("app-root") ?? "")?.[0],
    bodyBytesMax: bytes(of("proxy-body-size")),
    connectMs: milliseconds(of("proxy-connect-timeout")),
    readMs: milliseconds(of("proxy-read-timeout")),
    allowedSources: rangesOf(of("whitelist-source-range") ?? of("allowlist-source-range")),
    deniedSources: rangesOf(of("denylist-source-range")),
    cors: corsOf(of),
    upstreamHost: /^[A-Za-z0-9.:_-]+$/.exec(of("upstream-vhost") ?? "")?.[0],
    forwardedPrefix: /^[!-~]+$/.exec(of("x-forwarded-prefix") ?? "")?.[0],
    logsAccess: isTrue(logs) || undefined,
  });
}

/** What would let people in who were meant to stay outside. */
function refusalOf(annotations: Annotations): string | undefined {
  const of: Read = (name) => annotations[`${nginx}${name}`]?.trim();
  const guard = guards.find((name) => (annotations[name] ?? "") !== "");
  if (guard !== undefined) return `annotation ${guard} is not supported`;
  for (const name of ["whitelist", "allowlist", "denylist"]) {
    const value = of(`${name}-source-range`);
    const wrong = splitList(value ?? "").find((range) => parsedRange(range) === undefined);
    if (wrong !== undefined) return `${nginx}${name}-source-range: ${wrong} is no range`;
  }
  const type = of("auth-type") ?? "";
  if (type !== "" && type !== "basic") return `${nginx}auth-type ${type} is not supported`;
  return undefined;
}

function parsedRange(text: string): string | undefined {
  const cidr = text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`;
  return ipaddr.isValidCIDR(cidr) ? cidr : undefined;
}

function rangesOf(value: string | undefined): readonly string[] | undefined {
  const all = splitList(value ?? "").flatMap((range) => parsedRange(range) ?? []);
  return all.length === 0 ? undefined : all;
}

function redirectOf(of: Read): RouteRules["redirect"] {
  const permanent = of("permanent-redirect");
  const temporal = of("temporal-redirect");
  const url = /^[!-~]+$/.exec(temporal ?? permanent ?? "")?.[0];
  if (url === undefined) return undefined;
  if (temporal !== undefined)
    return { url, status: of("temporal-redirect-code") === "307" ? 307 : 302 };
  return { url, status: of("permanent-redirect-code") === "308" ? 308 : 301 };
}

const corsMethods = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const corsHeaders =
  "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type," +
  "Range,Authorization";

function corsOf(of: Read): CorsRules | undefined {
  if (!isTrue(of("enable-cors"))) return undefined;
  const text = (name: string, otherwise: string): string =>
    /^[ -~]+$/.exec(of(name) ?? "")?.[0] ?? otherwise;
  return {
    origins: splitList(text("cors-allow-origin", "*")),
    methods: text("cors-allow-methods", corsMethods),
    headers: text("cors-allow-headers", corsHeaders),
    exposed: text("cors-expose-headers", ""),
    credentials: of("cors-allow-credentials")?.toLowerCase() !== "false",
    maxAge: /^\d+$/.exec(of("cors-max-age") ?? "")?.[0] ?? "1728000",
  };
}

function authOf(of: Read): AuthWanted | undefined {
  if (of("auth-type") !== "basic") return undefined;
  return {
    secretName: of("auth-secret") ?? "",
    realm: of("auth-realm") ?? "",
    form: of("auth-secret-type") === "auth-map" ? "map" : "file",
  };
}

function canaryOf(of: Read): RouterSettings["canary"] {
  if (!isTrue(of("canary"))) return undefined;
  const total = wholeNumber(of("canary-weight-total")) ?? 100;
  const header = of("canary-by-header")?.toLowerCase();
  return defined<Omit<CanaryRules, "backend">>({
    header,
    headerValue: of("canary-by-header-value"),
    cookie: of("canary-by-cookie"),
    weight: Math.max(0, wholeNumber(of("canary-weight")) ?? 0),
    weightTotal: Math.max(1, total),
  });
}
