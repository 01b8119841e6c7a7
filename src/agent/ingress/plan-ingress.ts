/** From Ingresses, Services, slices and Secrets to what the process that serves them is told. */
import type { Secret, Service } from "../../gen/core-v1.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { Ingress, IngressBackend, IngressClass } from "../../gen/networking-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isServedIngress } from "../../schema/served-ingress.ts";
import { type RouterSettings, routerSettings } from "./annotations.ts";
import { backendOf } from "./plan-backend.ts";
import type { Backend, PathMatch, Route, TlsCertificate } from "./route-table.ts";

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
  return planner.plan();
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
  readonly #backends = new Map<string, Backend>();
  readonly #certificates: TlsCertificate[] = [];
  readonly #problems: Problem[] = [];

  constructor(private readonly view: ClusterView) {}

  plan(): IngressPlan {
    return {
      routes: this.#routes,
      backends: [...this.#backends.values()],
      certificates: this.#certificates,
      problems: this.#problems,
    };
  }

  add(ingress: DeepReadonly<Ingress>): void {
    const { metadata, spec } = ingress;
    const settings = routerSettings(metadata.annotations ?? {}, (spec.tls ?? []).length > 0);
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

  #route(
    ingress: DeepReadonly<Ingress>,
    { entryPoints, priority, rules, protocol }: RouterSettings,
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
    this.#routes.push({
      ingress: keyOf(ingress),
      ...place,
      ...(priority === undefined ? {} : { priority }),
      entryPoints,
      backends: [{ name, weight: 1 }],
      rules,
    });
  }

  #addCertificates(ingress: DeepReadonly<Ingress>): void {
    const ofRules = (ingress.spec.rules ?? []).flatMap(({ host }) => host ?? []);
    for (const { hosts = [], secretName } of ingress.spec.tls ?? []) {
      if (secretName === undefined || secretName === "") continue;
      const secret = this.view.secret(`${ingress.metadata.namespace}/${secretName}`);
      const cert = textOf(secret?.data?.["tls.crt"]);
      const key = textOf(secret?.data?.["tls.key"]);
      if (cert === "" || key === "") {
        const what = secret === undefined ? "does not exist" : "has no tls.crt and tls.key";
        this.#tell(ingress, "CertificateNotFound", `Secret ${secretName} ${what}`);
        continue;
      }
      const names = hosts.length > 0 ? hosts : ofRules;
      this.#certificates.push({ hosts: names.map((name) => name.toLowerCase()), cert, key });
    }
  }

  #tell(ingress: DeepReadonly<Ingress>, reason: string, message: string): void {
    this.#problems.push({ ingress, reason, message });
  }
}

function textOf(base64: string | undefined): string {
  return base64 === undefined ? "" : Buffer.from(base64, "base64").toString("utf8");
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
