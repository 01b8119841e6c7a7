/** What annotations of Traefik and of ingress-nginx mean for the routes of an Ingress. */
import type { EntryPoint, RouteRules } from "./route-table.ts";

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
  };
}

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
  const of = (name: string): string | undefined => annotations[`${nginx}${name}`]?.trim();
  const guard = guards.find((name) => (annotations[name] ?? "") !== "");
  const forces = isTrue(of("force-ssl-redirect"));
  return defined({
    refusal: guard === undefined ? undefined : `annotation ${guard} is not supported`,
    rewriteTarget: of("rewrite-target") || undefined,
    redirectsToTls: forces || (hasTls && isTrue(of("ssl-redirect"))) || undefined,
    bodyBytesMax: bytes(of("proxy-body-size")),
    connectMs: milliseconds(of("proxy-connect-timeout")),
    readMs: milliseconds(of("proxy-read-timeout")),
    logsAccess: isTrue(annotations[`${traefik}router.observability.accesslogs`]) || undefined,
  });
}

/** Without the members that are undefined: they say the same, and cost bytes in each message. */
export function defined<T extends object>(value: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}

export function isTrue(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === "true";
}

export function splitList(value: string): readonly string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function wholeNumber(value: string | undefined): number | undefined {
  return value !== undefined && /^-?\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/** nginx's `8m`; 0 is no limit. */
function bytes(value: string | undefined): number | undefined {
  const [, count, unit = ""] = /^(\d{1,12})([kKmMgG]?)$/.exec(value ?? "") ?? [];
  if (count === undefined || Number(count) === 0) return undefined;
  const factors: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
  return Number(count) * (factors[unit.toLowerCase()] ?? 1);
}

/** nginx's seconds, with or without their unit. */
function milliseconds(value: string | undefined): number | undefined {
  const [, count, unit = "s"] = /^(\d{1,8})(s|m|ms)?$/.exec(value ?? "") ?? [];
  if (count === undefined) return undefined;
  return Number(count) * (unit === "ms" ? 1 : unit === "m" ? 60_000 : 1000);
}
