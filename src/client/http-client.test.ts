import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { createHttpClient } from "./http-client.ts";

const pods = { group: "", version: "v1", plural: "pods", kind: "Pod", namespaced: true };

function open(answer: (request: Request) => Response) {
  const asked: Request[] = [];
  const runtime = createSimulatedRuntime(1, {
    fetch: async (request) => {
      asked.push(request);
      return answer(request);
    },
  });
  const server = "https://127.0.0.1:6443";
  return { asked, runtime, client: createHttpClient({ server, token: "secret", runtime }) };
}

const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "a", namespace: "default" } };

test("get asks for the object's path with the token", async () => {
  const { asked, client } = open(() => Response.json(pod));
  expect(await client.get(pods, "default", "a")).toEqual(pod);
  expect(asked[0]?.url).toBe("https://127.0.0.1:6443/api/v1/namespaces/default/pods/a");
  expect(asked[0]?.headers.get("authorization")).toBe("Bearer secret");
});

test("list gives the items their kind back", async () => {
  const list = { metadata: { resourceVersion: "7" }, items: [{ metadata: { name: "a" } }] };
  const { asked, client } = open(() => Response.json(list));
  const listed = await client.list(pods, "", { fieldSelector: "spec.nodeName=n" });
  expect(listed.items).toMatchObject([{ apiVersion: "v1", kind: "Pod" }]);
  expect(new URL(asked[0]?.url ?? "").search).toBe("?fieldSelector=spec.nodeName%3Dn");
});

test("a Status becomes an ApiError of its reason", async () => {
  const status = { kind: "Status", reason: "Conflict", message: "no", code: 409 };
  const { client } = open(() => Response.json(status, { status: 409 }));
  expect(client.update(pods, pod)).rejects.toMatchObject({ reason: "Conflict", code: 409 });
});

test("429 is tried again after the time the server names", async () => {
  let busy = true;
  const { asked, client, runtime } = open(() => {
    if (!busy) return Response.json(pod);
    busy = false;
    return new Response("busy", { status: 429, headers: { "retry-after": "2" } });
  });
  const got = client.get(pods, "default", "a");
  await runtime.clock.advance(2000);
  expect(await got).toEqual(pod);
  expect(asked.length).toBe(2);
});

test("watch yields events across chunk borders and throws the error event", async () => {
  const error = { type: "ERROR", object: { kind: "Status", reason: "Expired", code: 410 } };
  const text = `${JSON.stringify({ type: "ADDED", object: pod })}\n${JSON.stringify(error)}\n`;
  const cut = 20;
  const chunks = [text.slice(0, cut), text.slice(cut)].map((part) => Buffer.from(part));
  const body = () =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    });
  const { client } = open(() => new Response(body()));
  const seen: string[] = [];
  const signal = new AbortController().signal;
  const reading = (async () => {
    const watch = client.watch(pods, "default", { resourceVersion: "1" }, signal);
    for await (const event of watch) seen.push(event.type);
  })();
  expect(reading).rejects.toMatchObject({ reason: "Expired" });
  await reading.catch(() => {});
  expect(seen).toEqual(["ADDED"]);
});
