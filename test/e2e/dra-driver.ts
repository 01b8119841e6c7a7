/**
 * A driver of dynamic resource allocation of this process: its devices are variables in the
 * environment of containers, by specifications of the Container Device Interface.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { ServiceImpl } from "@connectrpc/connect";
import { serveSocket } from "../../src/agent/devices/socket-server.ts";
import { DRAResourceHealth, HealthStatus } from "../../src/gen/cri/dra-health_pb.ts";
import { DRAPlugin } from "../../src/gen/cri/dra-v1_pb.ts";
import type { DeviceRequestAllocationResult } from "../../src/gen/resource-v1.ts";
import { kubeletDir, register } from "./plugin-registration.ts";

const cdiDir = "/var/run/cdi";

/** The devices that a claim was given, by its uid. */
export type ResultsOf = (claimUid: string) => Promise<readonly DeviceRequestAllocationResult[]>;

export class DraDriver {
  readonly name: string;
  /** `prepare <claim>` and `unprepare <claim>`, in order. */
  readonly calls: string[] = [];
  /** Said instead of preparing, once. */
  failure = "";
  /** What it says of its devices, by pool and name. */
  readonly #ill = new Set<string>();
  #news = Promise.withResolvers<void>();
  readonly #resultsOf: ResultsOf;
  #close = async (): Promise<void> => {};

  constructor(name: string, resultsOf: ResultsOf) {
    this.name = name;
    this.#resultsOf = resultsOf;
  }

  count(call: string): number {
    return this.calls.filter((one) => one === call).length;
  }

  /** Serves and registers; resolves when the kubelet has taken it. */
  async start(): Promise<void> {
    const endpoint = `${kubeletDir}/plugins/${this.name}/dra.sock`;
    for (const dir of [`${kubeletDir}/plugins/${this.name}`, cdiDir])
      mkdirSync(dir, { recursive: true });
    const closePlugin = await serveSocket(endpoint, (router) => {
      router.service(DRAPlugin, this.#plugin());
      router.service(DRAResourceHealth, { nodeWatchResources: () => this.#tellHealth() });
    });
    this.#close = closePlugin;
    const unregister = await register({
      type: "DRAPlugin",
      name: this.name,
      endpoint,
      supportedVersions: ["v1.DRAPlugin"],
    });
    this.#close = async () => {
      await unregister();
      await closePlugin();
    };
  }

  async stop(): Promise<void> {
    await this.#close();
  }

  /** From now on the device is ill. */
  sicken(pool: string, device: string): void {
    this.#ill.add(`${pool}/${device}`);
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async *#tellHealth() {
    for (;;) {
      yield {
        devices: [...this.#ill].map((key) => {
          const [poolName = "", deviceName = ""] = key.split("/");
          const device = { poolName, deviceName };
          return { device, health: HealthStatus.UNHEALTHY, message: "too hot" };
        }),
      };
      await this.#news.promise;
    }
  }

  #plugin(): ServiceImpl<typeof DRAPlugin> {
    return {
      nodePrepareResources: async ({ claims }) => {
        const answers: Record<string, object> = {};
        for (const { uid, name } of claims) {
          this.calls.push(`prepare ${name}`);
          answers[uid] =
            this.failure === "" ? { devices: await this.#prepare(uid) } : { error: this.failure };
        }
        this.failure = "";
        return { claims: answers };
      },
      nodeUnprepareResources: ({ claims }) => {
        for (const { uid, name } of claims) {
          this.calls.push(`unprepare ${name}`);
          rmSync(this.#file(uid), { force: true });
        }
        return { claims: Object.fromEntries(claims.map(({ uid }) => [uid, {}])) };
      },
    };
  }

  #file(uid: string): string {
    return `${cdiDir}/${this.name}-${uid}.json`;
  }

  /** Each device sets the variable of its request to its name. */
  async #prepare(uid: string) {
    const results = (await this.#resultsOf(uid)).filter(({ driver }) => driver === this.name);
    const kind = `${this.name}/device`;
    const named = results.map((one, index) => ({ ...one, cdi: `${uid}-${index}` }));
    const devices = named.map(({ cdi, request, device }) => ({
      name: cdi,
      containerEdits: { env: [`DEVICE_${request.replace(/\W/g, "_").toUpperCase()}=${device}`] },
    }));
    writeFileSync(this.#file(uid), JSON.stringify({ cdiVersion: "0.6.0", kind, devices }));
    return named.map(({ cdi, request, pool, device }) => ({
      requestNames: [request.split("/")[0] ?? ""],
      poolName: pool,
      deviceName: device,
      cdiDeviceIds: [`${kind}=${cdi}`],
    }));
  }
}
