/** For tests: an ApiApp as a function from the web's Request to its Response. */
import type { Peer } from "./authorizer.ts";
import type { ApiApp } from "./http.ts";
import { type HttpRequest, responseOf } from "./http-exchange.ts";

export function httpRequestOf(request: Request): HttpRequest {
  const { method, url, headers, signal } = request;
  const { pathname, search } = new URL(url);
  return {
    method,
    url,
    headers,
    signal,
    path: pathname,
    query: search.slice(1),
    async body(bytesMax) {
      if (request.body === null) return undefined;
      const bytes = await request.bytes();
      return bytes.length > bytesMax ? "too-large" : bytes;
    },
    toRequest: () => request,
  };
}

export async function webFetch(
  app: ApiApp,
  request: Request,
  peer: Peer = { address: "", certificate: undefined },
): Promise<Response> {
  const answer = await app.fetch(httpRequestOf(request), peer);
  return answer instanceof Response ? answer : responseOf(answer);
}
