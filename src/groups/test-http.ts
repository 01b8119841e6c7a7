/** For tests: a World's API as a client sees it over HTTP. */
import { createApiApp } from "../api/http.ts";
import { serverUser } from "../api/pipeline.ts";
import { webFetch } from "../api/test-http.ts";
import type { KubeObject } from "../schema/object.ts";
import type { World } from "./test-world.ts";

export type Send = (path: string, init?: RequestInit) => Promise<Response>;

/** Requests of a user with all rights. */
export function sendTo(world: World): Send {
  const app = createApiApp({
    pipeline: world.pipeline,
    authenticate: async () => serverUser,
    runtime: world.runtime,
    health: async () => [],
    version: {},
    serverAddress: "127.0.0.1:6443",
  });
  return (path, init = {}) => webFetch(app, new Request(`https://localhost${path}`, init));
}

export interface Ask {
  /** A text goes as it is. */
  readonly body?: unknown;
  readonly type?: string;
  readonly agent?: string;
  readonly query?: string;
}

/** An object or a Status, with the answer's code. */
export type Answer = KubeObject & {
  readonly status: unknown;
  readonly spec: Record<string, unknown>;
  readonly code?: number;
  readonly reason?: string;
  readonly message: string;
  readonly details: { readonly causes: readonly object[] };
  readonly warnings: string | null;
};

/** Asks in JSON and reads the answer. */
export function askOf(send: Send) {
  return async (method: string, path: string, more: Ask = {}): Promise<Answer> => {
    const { body, type = "application/json", agent = "tool/1.0", query } = more;
    const headers = { "content-type": type, "user-agent": agent };
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const init = { method, headers, ...(body === undefined ? {} : { body: text }) };
    const answer = await send(query === undefined ? path : `${path}?${query}`, init);
    const object = (await answer.json()) as Answer;
    return { code: answer.status, ...object, warnings: answer.headers.get("warning") };
  };
}
