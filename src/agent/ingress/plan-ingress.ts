/** From Ingresses, Services, slices and Secrets to what the process that serves them is told. */
import type { Secret, Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { Ingress, IngressBackend, IngressClass } from "../../gen/networking-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isServedIngress } from "../../schema/served-ingress.ts";
import { type RouterSettings, routerSettings } from "./annotations.ts";
import { backendOf } from "./plan-backend.ts";
import type {
  Backend,
  CanaryRules,
  PathMatch,
  Route,
  RouteRules,
  TlsCertificate,
} from "./route-table.ts";
import { secretText, tlsPairOf } from "./secret-data.ts";

export interface ClusterView {
  /** In any order. */
  readonly ingresses: readonly DeepReadonly<Ingress>[];
  readonly classes: readonly DeepReadonly<IngressClass>[];
  /** By `namespace/name`. */
  readonly service: (key: string) => DeepReadonly<Service> | undefined;
  readonly slices: (key: string) => Iterable<DeepReadonly<EndpointSlice>>;
  readonly secret: (key: string) => DeepReadonly<Secret> | undefined;
}

export interface Problem {
  readonly ingress: DeepReadonly<Ingress>;
  readonly reason: string;
  readonly message: string;
}

export interface IngressPlan {
  readonly routes: readonly Route[];
  readonly backends: readonly Backend[];
  readonly certificates: readonly TlsCertificate[];
  readonly problems: readonly Problem[];
}

export function planIngress(view: ClusterView): IngressPlan {
  const planner = new Planner(view);
  const served = view.ingresses.filter((one) => isServedIngress(one, view.classes));
  for (const ingress of [...served].sort(byAge)) planner.add(ingress);
  const { canaries, ...plan } = planner.plan();
  return { ...plan, routes: plan.routes.map((route) => withCanary(route, canaries)) };
}

/** A route whose canary names another backend for part of what it gets. */
interface CanaryRoute {
  readonly route: Route;
  readonly canary: CanaryRules;
}

/** The canary of the same namespace, host and path, if there is one. */
function withCanary(route: Route, canaries: readonly CanaryRoute[]): Route {
  const namespaceOf = ({ ingress }: Route): string => ingress.slice(0, ingress.indexOf("/"));
  const found = canaries.find(
    ({ route: one }) =>
      one.host === route.host &&
      one.path === route.path &&
      one.match === route.match &&
      namespaceOf(one) === namespaceOf(route),
  );
  if (found === undefined) return route;
  return { ...route, rules: { ...route.rules, canary: found.canary } };
}

/** Who came first keeps a path that two want. */
function byAge(a: DeepReadonly<Ingress>, b: DeepReadonly<Ingress>): number {
  const order = (one: DeepReadonly<Ingress>): string =>
    `${one.metadata.creationTimestamp ?? ""} ${keyOf(one)}`;
  return order(a) < order(b) ? -1 : 1;
}

function keyOf({ metadata }: DeepReadonly<Ingress>): string {
  return `${metadata.namespace}/${metadata.name}`;
}

class Planner {
  readonly #routes: Route[] = [];
  readonly #canaries: CanaryRoute[] = [];
  readonly #backends = new Map<string, Backend>();
  readonly #certificates: TlsCertificate[] = [];
  readonly #problems: Problem[] = [];

  constructor(private readonly view: ClusterView) {}

  plan(): IngressPlan & { readonly canaries: readonly CanaryRoute[] } {
    return {
      routes: this.#routes,
      canaries: this.#canaries,
      backends: [...this.#backends.values()],
      certificates: this.#certificates,
      problems: this.#problems,
    };
  }

  add(ingress: DeepReadonly<Ingress>): void {
    const { metadata, spec } = ingress;
    const asked = routerSettings(metadata.annotations ?? {}, (spec.tls ?? []).length > 0);
    const settings = { ...asked, rules: this.#withUsers(ingress, asked) };
    if (settings.rules.refusal !== undefined) {
      this.#tell(ingress, "UnsupportedAnnotation", settings.rules.refusal);
    }
    for (const rule of spec.rules ?? []) {
      const host = (rule.host ?? "").toLowerCase();
      // A rule without paths leads all of its host to the default backend.
      const paths = rule.http?.paths ?? [];
      for (const { path = "", pathType, backend } of paths) {
        const match = matchOf(pathType, settings);
        this.#route(ingress, settings, { host, path, match, isDefault: false, backend });
      }
      if (paths.length === 0 && spec.defaultBackend !== undefined) {
        const all = { host, path: "", match: "start", isDefault: true } as const;
        this.#route(ingress, settings, { ...all, backend: spec.defaultBackend });
      }
    }
    if (spec.defaultBackend !== undefined) {
      const all = { host: "", path: "", match: "start", isDefault: true } as const;
      this.#route(ingress, settings, { ...all, backend: spec.defaultBackend });
    }
    this.#addCertificates(ingress);
  }

  /** Without its users a guarded route would be open to all: it is closed to all instead. */
  #withUsers(ingress: DeepReadonly<Ingress>, { rules, auth }: RouterSettings): RouteRules {
    if (auth === undefined) return rules;
    const { secretName, realm, form } = auth;
    const secret = this.view.secret(`${ingress.metadata.namespace}/${secretName}`);
    const users = secret === undefined ? undefined : usersOf(secret, form);
    if (users !== undefined) return { ...rules, basicAuth: { realm, users } };
    return { ...rules, refusal: `Secret ${JSON.stringify(secretName)} has no users` };
  }

  #route(
    ingress: DeepReadonly<Ingress>,
    { entryPoints, priority, rules, protocol, canary }: RouterSettings,
    to: Pick<Route, "host" | "path" | "match" | "isDefault"> & {
      readonly backend: DeepReadonly<IngressBackend>;
    },
  ): void {
    const { backend, ...place } = to;
    const { service } = backend;
    if (service === undefined) {
      this.#tell(ingress, "UnsupportedBackend", "resource backends are not supported");
      return;
    }
    const key = `${ingress.metadata.namespace}/${service.name}`;
    const found = backendOf(
      { key, port: service.port ?? {}, protocol },
      this.view.service(key),
      this.view.slices(key),
    );
    if (typeof found === "string") this.#tell(ingress, "BackendNotFound", found);
    else this.#backends.set(found.name, found);
    const name = typeof found === "string" ? "" : found.name;
    const route: Route = {
      ingress: keyOf(ingress),
      ...place,
      ...(priority === undefined ? {} : { priority }),
      entryPoints,
      backend: name,
      rules,
    };
    if (canary === undefined) this.#routes.push(route);
    else this.#canaries.push({ route, canary: { ...canary, backend: name } });
  }

  #addCertificates(ingress: DeepReadonly<Ingress>): void {
    const ofRules = (ingress.spec.rules ?? []).flatMap(({ host }) => host ?? []);
    for (const { hosts = [], secretName } of ingress.spec.tls ?? []) {
      if (secretName === undefined || secretName === "") continue;
      const secret = this.view.secret(`${ingress.metadata.namespace}/${secretName}`);
      const pair = secret === undefined ? "does not exist" : tlsPairOf(secret);
      if (typeof pair === "string") {
        this.#tell(ingress, "CertificateNotFound", `Secret ${secretName} ${pair}`);
        continue;
      }
      const names = hosts.length > 0 ? hosts : ofRules;
      this.#certificates.push({ hosts: names.map((name) => name.toLowerCase()), ...pair });
    }
  }

  #tell(ingress: DeepReadonly<Ingress>, reason: string, message: string): void {
    this.#problems.push({ ingress, reason, message });
  }
}

/** Users and their hashes, of lines as htpasswd writes them or of the Secret's own keys. */
function usersOf(
  { data }: DeepReadonly<Secret>,
  form: "file" | "map",
): Readonly<Record<string, string>> | undefined {
  const users =
    form === "map"
      ? Object.entries(data ?? {}).map(([user, hash]) => [user, secretText(hash).trim()])
      : secretText(data?.auth)
          .split("\n")
          .map((line) => line.trim())
          .filter((line) => line.includes(":") && !line.startsWith("#"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]);
  return users.length === 0 ? undefined : Object.fromEntries(users);
}

function matchOf(pathType: string, { usesRegexp, unspecific }: RouterSettings): PathMatch {
  switch (pathType) {
    case "Exact":
      return "exact";
    case "Prefix":
      return "prefix";
    default:
      return usesRegexp ? "regexp" : unspecific;
  }
}
