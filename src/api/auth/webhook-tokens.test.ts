import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import { openTokenWebhook } from "./webhook-tokens.ts";

const kubeconfig = JSON.stringify({
  "current-context": "a",
  contexts: [{ name: "a", context: { cluster: "a" } }],
  clusters: [{ name: "a", cluster: { server: "https://hook.test/" } }],
});

async function open(status: object) {
  const reviews: { readonly apiVersion: string; readonly spec: object }[] = [];
  const runtime = createSimulatedRuntime(1, {
    fetch: async (request) => {
      reviews.push((await request.json()) as (typeof reviews)[number]);
      return Response.json({ kind: "TokenReview", apiVersion: "any", status });
    },
  });
  await runtime.files.writeAtomic("/hook", kubeconfig, 0o600);
  const settings = { configFile: "/hook", version: "v1", cacheTtlMs: 1000 } as const;
  const authenticate = await openTokenWebhook(settings, runtime, async () => ["own", "k3s"]);
  return { authenticate, reviews, runtime };
}

const user = { username: "jane", uid: "7", groups: ["dev"], extra: { team: ["web"] } };
const made = { name: "jane", uid: "7", groups: ["dev"], extra: { team: ["web"] } };

test("openTokenWebhook() asks by a TokenReview, and remembers for a while", async () => {
  const { authenticate, reviews, runtime } = await open({ authenticated: true, user });
  expect(await authenticate("t")).toEqual({ user: made, audiences: ["own", "k3s"] });
  expect(await authenticate("t")).toMatchObject({ user: made });
  expect(reviews).toHaveLength(1);
  expect(reviews[0]).toMatchObject({
    apiVersion: "authentication.k8s.io/v1",
    spec: { token: "t", audiences: ["own", "k3s"] },
  });
  await authenticate("u");
  await runtime.clock.advance(1001);
  await authenticate("t");
  expect(reviews).toHaveLength(3);
});

test("openTokenWebhook() heeds audiences", async () => {
  const { authenticate } = await open({ authenticated: true, user, audiences: ["db"] });
  expect(await authenticate("t")).toBeUndefined();
  expect(await authenticate("t", ["db", "x"])).toEqual({ user: made, audiences: ["db"] });
  const { authenticate: silent } = await open({ authenticated: true, user });
  expect(await silent("t", ["db"])).toBeUndefined();
});

test("openTokenWebhook() knows nobody whom the webhook does not know", async () => {
  const { authenticate } = await open({ authenticated: false, user, error: "no" });
  expect(await authenticate("t")).toBeUndefined();
});
