/** Leads requests through the gate: what is served when, and what those turned away are told. */
import { exactFieldOf } from "./flowcontrol/exact-field.ts";
import type { RequestGate } from "./flowcontrol/gate.ts";
import type { RequestDigest } from "./flowcontrol/rules.ts";
import type { HttpAnswer, HttpRequest } from "./http-exchange.ts";
import type { Registry } from "./registry.ts";
import type { User } from "./request.ts";
import { type Target, verbOf } from "./request-path.ts";

export interface Entering {
  readonly request: Pick<HttpRequest, "method" | "path" | "signal">;
  readonly query: URLSearchParams;
  readonly target: Target | undefined;
  readonly user: User;
  readonly timeoutMs: number;
}

/** Who asks for what, as flow schemas see it. */
export function digestOf(
  registry: Registry,
  { request, query, target, user }: Omit<Entering, "timeoutMs">,
): RequestDigest {
  const { path } = request;
  if (target === undefined) {
    return { user, path, verb: request.method.toLowerCase(), resource: undefined };
  }
  const { group, version, plural } = target.resource;
  const { subresource, namespace } = target;
  const verb = verbOf(registry, request.method, target, query) ?? "";
  const name = target.name || (exactFieldOf(query, "metadata.name") ?? "");
  return { user, path, verb, resource: { group, version, plural, subresource, namespace, name } };
}

/** Serves the request once the gate lets it in. */
export async function enter<T extends HttpAnswer | Response>(
  gate: RequestGate,
  registry: Registry,
  entering: Entering,
  serve: () => Promise<T>,
): Promise<T | Response> {
  const { request, query, timeoutMs } = entering;
  const digest = digestOf(registry, entering);
  const asked = gate.enter({
    digest,
    query,
    timeoutMs,
    // Only who has to wait looks.
    get signal() {
      return request.signal;
    },
  });
  const answer = asked instanceof Promise ? await asked : asked;
  if (!answer.admitted) {
    const response = tooManyRequests(answer.retryAfterSeconds);
    for (const [name, value] of answer.headers) response.headers.set(name, value);
    return response;
  }
  try {
    const response = await serve();
    for (const [name, value] of answer.headers) response.headers.set(name, value);
    return response;
  } finally {
    answer.leave();
  }
}

export function tooManyRequests(retryAfterSeconds: number): Response {
  return new Response("Too many requests, please try again later.\n", {
    status: 429,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "retry-after": String(retryAfterSeconds),
      "x-content-type-options": "nosniff",
    },
  });
}
