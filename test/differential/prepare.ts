/** What both stores hold before the first request: controllers would have made some of it. */
import type { Exchange, JsonObject } from "./client.ts";
import type { Pair } from "./pair.ts";
import { namespace } from "./subjects.ts";

const post = (path: string, body: JsonObject): Exchange => ({ method: "POST", path, body });

/** The namespace of the requests with the service account that pods run as. */
export async function prepare(pair: Pair): Promise<void> {
  const metadata = { name: "default" };
  await pair.send("namespace", post("/api/v1/namespaces", { metadata: { name: namespace } }));
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await pair.send("service account", post(accounts, { metadata }));
}
