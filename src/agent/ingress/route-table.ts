/** What the process that serves ingress is told: routes, backends and certificates. */

export type EntryPoint = "web" | "websecure";

/** A path as `Exact` and `Prefix` have it; "start" compares characters, "regexp" is anchored. */
export type PathMatch = "exact" | "prefix" | "start" | "regexp";

export interface Route {
  /** `namespace/name` of its Ingress. */
  readonly ingress: string;
  /** "" for all, `*.example.com` for one label more. */
  readonly host: string;
  readonly path: string;
  readonly match: PathMatch;
  /** A defaultBackend: only where no rule matches. */
  readonly isDefault: boolean;
  /** The annotation's; undefined goes by length. */
  readonly priority?: number;
  readonly entryPoints: readonly EntryPoint[];
  /** The name of the backend; "" where there is none. */
  readonly backend: string;
  readonly rules: RouteRules;
}

/** What annotations ask for; absent is what happens without. */
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
  /** Names it is shown for, `*.example.com` among them. */
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
