/**
 * Serves API groups that other servers implement (APIService): requests are passed on, discovery
 * and OpenAPI are merged, availability is watched, and the groups served here are listed too.
 */
import type { Client } from "../../client/client.ts";
import {
  apiServices,
  customResourceDefinitions,
  endpointSlices,
  services,
} from "../../client/resources.ts";
import type { APIService, APIServiceCondition } from "../../gen/apiregistration-v1.ts";
import { ApiError, isReason } from "../../lib/api-error.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { ByteStream, Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { copyJson } from "../../schema/copy.ts";
import { compareVersions } from "../discovery.ts";
import type { ExternalGroup } from "../external-groups.ts";
import type { Registry } from "../registry.ts";
import type { User } from "../request.ts";
import {
  type Availability,
  type Checked,
  checkBackend,
  localAvailability,
} from "./availability.ts";
import { Backends, type FrontProxyIdentity, type LiveApiService } from "./backend.ts";
import { priorityOf } from "./priorities.ts";

export interface AggregatorOptions {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly registry: Registry;
  /** The server itself. */
  readonly client: Client;
  readonly identity: () => FrontProxyIdentity | undefined;
}

const limits = { recheckMs: 30_000, settleMs: 100 } as const;
const managedLabel = "kube-aggregator.kubernetes.io/automanaged";

export class Aggregator {
  readonly #backends: Backends;
  /** Those with a server of their own, by `group/version`. */
  readonly #remote = new Map<string, LiveApiService>();
  /** What the last check of each found, by name. */
  readonly #checked = new Map<string, Checked>();
  #generation = 0;
  #wake: () => void = () => {};

  constructor(private readonly options: AggregatorOptions) {
    this.#backends = new Backends(options);
  }

  /** Grows with every change of what the other servers serve. */
  get generation(): number {
    return this.#generation;
  }

  /** The APIService that a path below /apis belongs to, if another server implements it. */
  find(path: string): LiveApiService | undefined {
    if (this.#remote.size === 0 || !path.startsWith("/apis/")) return undefined;
    const [, , group, version] = path.split("/");
    return this.#remote.get(`${group}/${version}`);
  }

  /** Passes a request to switch protocols on; throws ApiError when that cannot be done. */
  async upgrade(
    service: LiveApiService,
    request: Request,
    user: User,
    client: ByteStream,
  ): Promise<void> {
    try {
      await this.#backends.upgrade(service, request, user, client);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw this.#unreachable(service, error);
    }
  }

  /** Passes a request on; ServiceUnavailable when the server cannot be reached. */
  async forward(service: LiveApiService, request: Request, user: User): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    try {
      return await this.#backends.forward(service, `${pathname}${search}`, request, user);
    } catch (error) {
      if (request.signal.aborted) throw error;
      throw this.#unreachable(service, error);
    }
  }

  #unreachable(service: LiveApiService, error: unknown): ApiError {
    const why = error instanceof Error ? error.message : String(error);
    this.options.runtime.log.debug("An aggregated API cannot be reached", {
      service: service.metadata.name,
      error,
    });
    return new ApiError("ServiceUnavailable", `error trying to reach service: ${why}`);
  }

  /** What the other servers serve, for discovery. */
  groups(): readonly ExternalGroup[] {
    const groups = new Map<string, ExternalGroup["versions"][number][]>();
    for (const service of this.#remote.values()) {
      const { group = "", version = "" } = service.spec;
      const resources = this.#checked.get(service.metadata.name ?? "")?.resources ?? [];
      groups.set(group, [...(groups.get(group) ?? []), { version, resources }]);
    }
    return [...groups].map(([name, versions]) => ({
      name,
      versions: versions.sort((a, b) => compareVersions(a.version, b.version)),
    }));
  }

  /** Follows APIServices and what they depend on until the scope ends. */
  start(scope: Scope): void {
    const { live } = this.options;
    const changes = [
      live.of(apiServices).subscribe(({ type, now }) => this.#follow(type, now.object)),
      live.of(services).subscribe(() => this.#wakeIfRemote()),
      live.of(endpointSlices).subscribe(() => this.#wakeIfRemote()),
      // Its rows in the registry come a moment later: the round after this one sees them.
      live.of(customResourceDefinitions).subscribe(() => this.#wake()),
    ];
    scope.defer(() => {
      for (const change of changes) change[Symbol.dispose]();
    });
    scope.task("api-services", (signal) => this.#run(signal));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { live, runtime, registry } = this.options;
    const set = live.of(apiServices);
    await set.ready(signal);
    for (const { object } of set.list()) this.#follow("added", object);
    let registered = -1;
    while (!signal.aborted) {
      try {
        if (registered !== registry.generation) {
          registered = registry.generation;
          await this.#registerLocal();
        }
        await this.#checkAll();
      } catch (error) {
        if (!signal.aborted)
          runtime.log.warn("APIServices cannot be brought up to date", { error });
      }
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await runtime.clock.sleep(limits.recheckMs, AbortSignal.any([signal, woken.signal]));
      await runtime.clock.sleep(limits.settleMs, signal);
    }
  }

  #wakeIfRemote(): void {
    if (this.#remote.size > 0) this.#wake();
  }

  #follow(type: "added" | "modified" | "deleted", service: LiveApiService): void {
    const { group = "", version = "", service: reference } = service.spec;
    const key = `${group}/${version}`;
    const known = this.#remote.get(key);
    if (type === "deleted" || reference === undefined) {
      if (!this.#remote.delete(key)) return;
      this.#checked.delete(service.metadata.name ?? "");
    } else {
      this.#remote.set(key, service);
      // A status that was just written here is no reason to check again.
      if (known?.metadata.generation === service.metadata.generation && type === "modified") return;
    }
    this.#generation++;
    this.#wake();
  }

  async #checkAll(): Promise<void> {
    const { live } = this.options;
    await Promise.all(
      [...this.#remote.values()].map(async (service) => {
        const { name = "" } = service.metadata;
        const checked = await checkBackend(service, this.#backends, live);
        const before = this.#checked.get(name);
        this.#checked.set(name, checked);
        if (JSON.stringify(before) !== JSON.stringify(checked)) this.#generation++;
        await this.#tell(service, checked.availability);
      }),
    );
  }

  async #tell(service: LiveApiService, found: Availability): Promise<void> {
    const { client, runtime } = this.options;
    const conditions = service.status?.conditions ?? [];
    const known = conditions.find(({ type }) => type === "Available");
    const isSame =
      known?.status === found.status &&
      known.reason === found.reason &&
      known.message === found.message;
    if (isSame) return;
    const now = `${runtime.clock.now().toISOString().slice(0, 19)}Z`;
    const condition: APIServiceCondition = {
      ...found,
      type: "Available",
      lastTransitionTime: known?.status === found.status ? (known.lastTransitionTime ?? now) : now,
    };
    const others = conditions.filter(({ type }) => type !== "Available");
    const next = copyJson<APIService>(service);
    next.status = { conditions: [...copyJson<APIServiceCondition[]>(others), condition] };
    try {
      await client.update(apiServices, next, { subresource: "status" });
    } catch (error) {
      // Gone or changed meanwhile: the change itself wakes the next round.
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }

  /** Each group version served here has an APIService without a server. */
  async #registerLocal(): Promise<void> {
    const { live, registry } = this.options;
    const wanted = new Map<string, APIService>();
    for (const { group, version, custom } of registry.all()) {
      const name = `${version}.${group}`;
      if (!wanted.has(name)) wanted.set(name, localService(group, version, custom !== undefined));
    }
    const present = new Map(
      [...live.of(apiServices).list()].map(({ key, object }) => [key, object]),
    );
    await Promise.all(
      [...wanted].map(async ([name, service]) => {
        const known = present.get(name);
        const made = known ?? (await this.#create(service));
        if (made !== undefined && made.spec.service === undefined) {
          await this.#tell(made, localAvailability);
        }
      }),
    );
    for (const [name, { metadata, spec }] of present) {
      const isOurs = metadata.labels?.[managedLabel] !== undefined && spec.service === undefined;
      if (isOurs && !wanted.has(name)) await this.#remove(name);
    }
  }

  async #create(service: APIService): Promise<LiveApiService | undefined> {
    try {
      return await this.options.client.create(apiServices, service);
    } catch (error) {
      if (isReason(error, "AlreadyExists")) return undefined;
      throw error;
    }
  }

  async #remove(name: string): Promise<void> {
    try {
      await this.options.client.delete(apiServices, "", name);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
  }
}

function localService(group: string, version: string, isCustom: boolean): APIService {
  const priority = priorityOf(group, version, isCustom);
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: {
      name: `${version}.${group}`,
      labels: { [managedLabel]: isCustom ? "true" : "onstart" },
    },
    spec: {
      ...(group === "" ? {} : { group }),
      version,
      groupPriorityMinimum: priority.group,
      versionPriority: priority.version,
    },
  };
}
