import { expect, test } from "bun:test";
import { authorizeRequest } from "./authorize-call.ts";
import type { ApiRequest } from "./request.ts";

function asking(method: string, subresource: string, query = ""): ApiRequest {
  return {
    verb: "connect",
    resource: { group: "", version: "v1", plural: "pods" },
    subresource,
    namespace: "shop",
    name: "web",
    rest: "",
    method,
    query: new URLSearchParams(query),
    accept: "",
    userAgent: "",
    user: { name: "jane", uid: "", groups: [], extra: {} },
    body: undefined,
    contentType: "",
    signal: new AbortController().signal,
  };
}

/** The verbs that are asked for, with those in `allowed` let through. */
async function verbsOf(request: ApiRequest, allowed: readonly string[]) {
  const asked: string[] = [];
  const authorize = async ({ verb }: { readonly verb: string }) => {
    asked.push(verb);
    return { allowed: allowed.includes(verb), reason: "" };
  };
  const refusal = await authorizeRequest({ authorize }, request).catch((error) => String(error));
  return { asked, refusal };
}

for (const subresource of ["exec", "attach", "portforward"]) {
  test(`${subresource} by a WebSocket needs more than reading`, async () => {
    const { asked, refusal } = await verbsOf(asking("GET", subresource), ["get"]);
    expect(asked).toEqual(["get", "create"]);
    expect(refusal).toContain(`User "jane" cannot create resource "pods/${subresource}"`);
    const both = await verbsOf(asking("GET", subresource), ["get", "create"]);
    expect(both.refusal).toBeUndefined();
    expect(await verbsOf(asking("POST", subresource), ["create"])).toEqual({
      asked: ["create"],
      refusal: undefined,
    });
  });
}

test("a proxy is asked for by the verb of its method", async () => {
  const methods = { GET: "get", HEAD: "get", POST: "create", PUT: "update", DELETE: "delete" };
  for (const [method, verb] of Object.entries(methods)) {
    expect((await verbsOf(asking(method, "proxy"), [verb])).asked).toEqual([verb]);
  }
});
