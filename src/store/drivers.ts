/** Which store a datastore endpoint means. */
import type { Runtime } from "../runtime/runtime.ts";
import { memoryDriver } from "./memory.ts";
import { sqliteDriver } from "./sqlite.ts";
import type { Driver, Store } from "./store.ts";

export const drivers: readonly Driver[] = [sqliteDriver, memoryDriver];

/** Opens the store of an endpoint such as `sqlite:///var/lib/rancher/k3s/server/db/state.db`. */
export async function openStore(endpoint: string, runtime: Runtime): Promise<Store> {
  if (!URL.canParse(endpoint)) throw new Error(`Invalid datastore endpoint "${endpoint}"`);
  const url = new URL(endpoint);
  const scheme = url.protocol.slice(0, -1);
  const driver = drivers.find((row) => row.scheme === scheme);
  if (driver === undefined) {
    const known = drivers.map((row) => row.scheme).join(", ");
    throw new Error(`Unknown datastore "${scheme}": this version has ${known}`);
  }
  return driver.open(url, runtime);
}
