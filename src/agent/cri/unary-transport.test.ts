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
