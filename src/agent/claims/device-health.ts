/** How the devices of this node are, as their drivers tell it. */
import { HealthStatus, type NodeWatchResourcesResponse } from "../../gen/cri/dra-health_pb.ts";
import type { Clock } from "../../runtime/runtime.ts";

export interface Health {
  readonly health: "Healthy" | "Unhealthy" | "Unknown";
  readonly message: string;
}

interface Told extends Health {
  readonly seenMs: number;
  readonly goodForMs: number;
}

const limits = { goodForMs: 30_000, messageCharactersMax: 1024 } as const;
const unknown: Health = { health: "Unknown", message: "" };

const words = {
  [HealthStatus.UNKNOWN]: "Unknown",
  [HealthStatus.HEALTHY]: "Healthy",
  [HealthStatus.UNHEALTHY]: "Unhealthy",
} as const;

function shortened(message: string): string {
  const { messageCharactersMax: max } = limits;
  return message.length <= max ? message : `${message.slice(0, max - 3)}...`;
}

export class DeviceHealth {
  /** By driver, then by pool and device. */
  readonly #told = new Map<string, Map<string, Told>>();

  constructor(private readonly clock: Clock) {}

  /** Takes what a driver tells, or that it tells no more; true when something is otherwise now. */
  update(driver: string, told: NodeWatchResourcesResponse | undefined): boolean {
    if (told === undefined) return this.#told.delete(driver);
    const known = this.#told.get(driver) ?? new Map<string, Told>();
    this.#told.set(driver, known);
    let isOther = false;
    for (const { device, health, message, healthCheckTimeoutSeconds } of told.devices) {
      const key = `${device?.poolName}/${device?.deviceName}`;
      const now: Told = {
        health: words[health] ?? "Unknown",
        message: shortened(message),
        seenMs: this.clock.monotonicMs(),
        goodForMs: Number(healthCheckTimeoutSeconds) * 1000 || limits.goodForMs,
      };
      const before = known.get(key);
      isOther ||= before?.health !== now.health || before.message !== now.message;
      known.set(key, now);
    }
    return isOther;
  }

  /** Of what was not told for long nothing is known. */
  of(driver: string, pool: string, device: string): Health {
    const told = this.#told.get(driver)?.get(`${pool}/${device}`);
    if (told === undefined) return unknown;
    return this.clock.monotonicMs() - told.seenMs > told.goodForMs ? unknown : told;
  }
}
