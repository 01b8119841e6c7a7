/** What the process that serves ingress is told: routes, backends and certificates. */

export type EntryPoint = "web" | "websecure";

/** A path as `Exact` and `Prefix` have it; "start" compares characters, "regexp" is anchored. */
export type PathMatch = "exact" | "prefix" | "start" | "regexp";

export interface Route {
  /** `namespace/name` of its Ingress, or of its route of the Gateway API. */
  readonly ingress: string;
  /** "" for all, `*.example.com` for one label more, `**.example.com` for any number of them. */
  readonly host: string;
  readonly path: string;
  readonly match: PathMatch;
  /** What else must fit; absent where nothing must. */
  readonly conditions?: RouteConditions;
  /** A defaultBackend: only where no rule matches. */
  readonly isDefault: boolean;
  /** The annotation's; undefined goes by length. */
  readonly priority?: number;
  readonly entryPoints: readonly EntryPoint[];
  /** The name of the backend; "" where there is none. */
  readonly backend: string;
  readonly rules: RouteRules;
}

export interface RouteConditions {
  readonly method?: string;
  /** Names in lower case. */
  readonly headers?: readonly ValueCondition[];
  readonly queries?: readonly ValueCondition[];
}

export interface ValueCondition {
  readonly name: string;
  readonly value: string;
  /** The value is an expression that all of what is found must match. */
  readonly isRegexp: boolean;
}

/** What annotations or filters ask for; absent is what happens without. */
export interface RouteRules {
  /** Why this route serves nobody: what it asks for would otherwise be left out silently. */
  readonly refusal?: string;
  /** `$1` stands for what the path's first group matched. */
  readonly rewriteTarget?: string;
  readonly redirectsToTls?: boolean;
  readonly redirect?: { readonly url: string; readonly status: 301 | 302 | 307 | 308 };
  /** Where `/` leads to. */
  readonly appRoot?: string;
  readonly bodyBytesMax?: number;
  readonly connectMs?: number;
  /** Between two signs of life of the backend. */
  readonly readMs?: number;
  /** CIDRs of clients that are served. */
  readonly allowedSources?: readonly string[];
  readonly deniedSources?: readonly string[];
  readonly cors?: CorsRules;
  readonly basicAuth?: BasicAuthRules;
  readonly upstreamHost?: string;
  readonly forwardedPrefix?: string;
  readonly canary?: CanaryRules;
  readonly logsAccess?: boolean;
  readonly redirectTo?: RedirectParts;
  readonly pathChange?: PathChange;
  readonly requestFields?: FieldChange;
  readonly answerFields?: FieldChange;
  /** From the request's head to the end of the answer. */
  readonly wholeMs?: number;
  /** Several backends, by lot; then the route's own backend is not asked. */
  readonly shares?: readonly BackendShare[];
}

/** What is not said stays as the client asked for it. */
export interface RedirectParts {
  readonly scheme?: string;
  readonly host?: string;
  readonly port?: number;
  readonly path?: PathChange;
  readonly status: number;
}

/** All of the path, or the part of it that the route's prefix matched. */
export interface PathChange {
  readonly replaces: "all" | "prefix";
  readonly by: string;
}

export interface FieldChange {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
  /** In lower case. */
  readonly remove: readonly string[];
}

export interface BackendShare {
  /** "": there is none, and who gets this share is answered 500. */
  readonly backend: string;
  readonly weight: number;
  readonly requestFields?: FieldChange;
  readonly answerFields?: FieldChange;
}

export interface CorsRules {
  readonly origins: readonly string[];
  readonly methods: string;
  readonly headers: string;
  readonly exposed: string;
  readonly credentials: boolean;
  readonly maxAge: string;
}

export interface BasicAuthRules {
  readonly realm: string;
  /** Hashes as htpasswd writes them. */
  readonly users: Readonly<Record<string, string>>;
}

export interface CanaryRules {
  readonly header?: string;
  readonly headerValue?: string;
  readonly cookie?: string;
  /** The backend of those who are chosen. */
  readonly backend: string;
  /** How many of `weightTotal` go there by lot. */
  readonly weight: number;
  readonly weightTotal: number;
}

export interface Backend {
  /** `namespace/service:port`. */
  readonly name: string;
  readonly protocol: "http" | "https" | "h2c" | "h2";
  /** `host:port`; a name for a service outside. */
  readonly endpoints: readonly string[];
  readonly sticky?: StickyCookie;
}

export interface StickyCookie {
  readonly name: string;
  /** What follows the value: `; Path=/; HttpOnly`. */
  readonly attributes: string;
}

export interface TlsCertificate {
  /** Names it is shown for, as hosts of routes are written. */
  readonly hosts: readonly string[];
  readonly cert: string;
  readonly key: string;
}

/** What stays as it is for as long as the process lives: with others another one is started. */
export interface IngressSettings {
  readonly version: string;
  readonly host: string;
  /** 0 takes any. */
  readonly ports: Readonly<Record<EntryPoint, number>>;
  readonly accessLog: string;
}

/** One line each, from the node's agent to the process; each replaces what was said before. */
export type IngressOrder =
  | { readonly type: "start"; readonly settings: IngressSettings }
  | { readonly type: "stop" }
  | { readonly type: "routes"; readonly routes: readonly Route[] }
  | { readonly type: "backends"; readonly backends: readonly Backend[] }
  | { readonly type: "certificates"; readonly certificates: readonly TlsCertificate[] }
  | { readonly type: "metrics"; readonly id: number };

/** One line each, from the process to the node's agent. */
export type IngressReport =
  | { readonly type: "listening"; readonly ports: Readonly<Record<EntryPoint, number>> }
  | { readonly type: "refused"; readonly entryPoint: EntryPoint; readonly code: string }
  | { readonly type: "metrics"; readonly id: number; readonly text: string };
