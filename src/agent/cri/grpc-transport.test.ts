import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ImageService, RuntimeService } from "../../gen/cri/api_pb.ts";
import { criMessage, isCriNotFound, isCriUnavailable, openCri } from "./client.ts";

const dir = mkdtempSync(join(tmpdir(), "cri-"));
const path = join(dir, "cri.sock");
const sessions = new Set<ServerHttp2Session>();
let server: Http2Server;
let hanging = 0;

/** A runtime with one image, asked through a whole gRPC server. */
beforeAll(async () => {
  const handler = connectNodeAdapter({
    routes: (router) => {
      router.service(RuntimeService, {
        version: ({ version }) => ({ version, runtimeName: "fake" }),
        podSandboxStatus: ({ podSandboxId }) => {
          throw new ConnectError(`sandbox ${podSandboxId}: nicht da, é`, Code.NotFound);
        },
        async *getContainerEvents(_request, { signal }) {
          for (let i = 0; i < 3; i++) {
            yield { containerId: `${i}`.repeat(i * 40_000) };
            await Bun.sleep(0);
          }
          hanging += 1;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          hanging -= 1;
        },
        async *streamPodSandboxes() {
          yield {};
          throw new ConnectError("no more", Code.ResourceExhausted);
        },
        status: async (_request, { signal }) => {
          hanging += 1;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          hanging -= 1;
          return {};
        },
      });
      router.service(ImageService, {
        listImages: () => ({
          images: Array.from({ length: 3000 }, (_, i) => ({ id: `sha256:${i}`.padEnd(71, "0") })),
        }),
      });
    },
  });
  server = createServer(handler);
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterAll(() => {
  for (const session of sessions) session.destroy();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test("a call is answered, many at once too", async () => {
  const cri = openCri(path);
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => cri.runtime.version({ version: `v${i}` })),
  );
  expect(answers.map(({ version }) => version)).toEqual(answers.map((_, i) => `v${i}`));
  cri.close();
});

test("an answer may come in many pieces", async () => {
  const cri = openCri(path);
  const { images } = await cri.images.listImages({});
  expect(images).toHaveLength(3000);
  expect(images[2999]?.id).toBe("sha256:2999".padEnd(71, "0"));
  cri.close();
});

test("an error keeps its code and its words", async () => {
  const cri = openCri(path);
  const error = await errorOf(cri.runtime.podSandboxStatus({ podSandboxId: "a" }));
  expect(isCriNotFound(error)).toBe(true);
  expect(criMessage(error)).toBe("rpc error: code = NotFound desc = sandbox a: nicht da, é");
  const missing = await errorOf(cri.runtime.listPodSandbox({}));
  expect(missing).toMatchObject({ code: Code.Unimplemented });
  cri.close();
});

test("a call can be given up, and the server hears of it", async () => {
  const cri = openCri(path);
  const stop = new AbortController();
  const answer = errorOf(cri.runtime.status({}, { signal: stop.signal }));
  while (hanging === 0) await cri.runtime.version({});
  stop.abort();
  expect(await answer).toMatchObject({ code: Code.Canceled });
  while (hanging > 0) await cri.runtime.version({});
  const late = await errorOf(cri.runtime.status({}, { timeoutMs: 20 }));
  expect(late).toMatchObject({ code: Code.DeadlineExceeded });
  const before = await errorOf(cri.runtime.status({}, { signal: AbortSignal.abort() }));
  expect(before).toMatchObject({ code: Code.Canceled });
  cri.close();
});

test("a runtime that is gone is unavailable, and is reached again when it is back", async () => {
  const nowhere = openCri(join(dir, "nothing.sock"));
  expect(isCriUnavailable(await errorOf(nowhere.runtime.version({})))).toBe(true);
  const cri = openCri(path);
  await cri.runtime.version({});
  const broken = errorOf(cri.runtime.status({}));
  while (hanging === 0) await cri.runtime.version({});
  for (const session of sessions) session.destroy();
  expect(isCriUnavailable(await broken)).toBe(true);
  expect((await cri.runtime.version({ version: "again" })).version).toBe("again");
  cri.close();
});

test("messages of a stream come one by one, however cut, until it is given up", async () => {
  const cri = openCri(path);
  const stop = new AbortController();
  const lengths: number[] = [];
  const error = await errorOf(
    (async () => {
      const events = cri.runtime.getContainerEvents({}, { signal: stop.signal });
      for await (const { containerId } of events) {
        lengths.push(containerId.length);
        if (lengths.length === 3) stop.abort();
      }
    })(),
  );
  expect(lengths).toEqual([0, 40_000, 80_000]);
  expect(error).toMatchObject({ code: Code.Canceled });
  while (hanging > 0) await cri.runtime.version({});
  cri.close();
});

test("a stream may break off with an error, or with the connection", async () => {
  const cri = openCri(path);
  let count = 0;
  const refused = await errorOf(
    (async () => {
      for await (const _answer of cri.runtime.streamPodSandboxes({})) count += 1;
    })(),
  );
  expect(refused).toMatchObject({ code: Code.ResourceExhausted, rawMessage: "no more" });
  expect(count).toBe(1);
  const broken = await errorOf(
    (async () => {
      for await (const { containerId } of cri.runtime.getContainerEvents({})) {
        if (containerId.length === 80_000) for (const session of sessions) session.destroy();
      }
    })(),
  );
  expect(isCriUnavailable(broken)).toBe(true);
  while (hanging > 0) await Bun.sleep(1);
  cri.close();
});
