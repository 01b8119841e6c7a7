import { expect, test } from "bun:test";
import { createSimulatedRuntime } from "../../runtime/simulated.ts";
import type { Attributes } from "../authorizer.ts";
import type { WebhookSettings } from "./authorization-config.ts";
import { openWebhookAuthorizer } from "./webhook-authorizer.ts";

const kubeconfig = JSON.stringify({
  "current-context": "a",
  contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
  clusters: [{ name: "a", cluster: { server: "https://hook.test/authorize" } }],
  users: [{ name: "a", user: { token: "hush" } }],
});

const asked: Attributes = {
  user: { name: "jane", uid: "7", groups: ["dev"], extra: { scope: ["x"] } },
  verb: "list",
  group: "apps",
  version: "v1",
  resource: "deployments",
  subresource: "",
  namespace: "shop",
  name: "",
  path: "",
  isResourceRequest: true,
  labelSelector: "app=web,tier!=db,x",
  fieldSelector: "metadata.name=a",
};

async function open(answer: () => Response, more: Partial<WebhookSettings> = {}) {
  const reviews: { readonly kind: string; readonly apiVersion: string; readonly spec: object }[] =
    [];
  const runtime = createSimulatedRuntime(1, {
    fetch: async (request) => {
      expect(request.headers.get("authorization")).toBe("Bearer hush");
      reviews.push((await request.json()) as (typeof reviews)[number]);
      return answer();
    },
  });
  await runtime.files.writeAtomic("/hook", kubeconfig, 0o600);
  const settings: WebhookSettings = {
    authorizedTtlMs: 1000,
    unauthorizedTtlMs: 0,
    timeoutMs: 3000,
    reviewVersion: "v1",
    failurePolicy: "NoOpinion",
    kubeconfigFile: "/hook",
    matchConditions: [],
    ...more,
  };
  const authorizer = await openWebhookAuthorizer(settings, runtime);
  /** Retries wait, and time must pass for them. */
  const ask = async (attributes = asked) => {
    const decision = authorizer.authorize(attributes);
    await runtime.clock.advance(10_000);
    return decision;
  };
  return { ask, reviews, authorizer };
}

function review(status: object): Response {
  return Response.json({ kind: "SubjectAccessReview", apiVersion: "a", status });
}

test("openWebhookAuthorizer() asks by a SubjectAccessReview", async () => {
  const { ask, reviews } = await open(() => review({ allowed: true, reason: "on call" }));
  expect(await ask()).toEqual({ allowed: true, reason: "on call" });
  expect(reviews[0]).toMatchObject({
    kind: "SubjectAccessReview",
    apiVersion: "authorization.k8s.io/v1",
    spec: {
      user: "jane",
      uid: "7",
      groups: ["dev"],
      extra: { scope: ["x"] },
      resourceAttributes: {
        namespace: "shop",
        verb: "list",
        group: "apps",
        version: "v1",
        resource: "deployments",
        fieldSelector: { requirements: [{ key: "metadata.name", operator: "In", values: ["a"] }] },
        labelSelector: {
          requirements: [
            { key: "app", operator: "In", values: ["web"] },
            { key: "tier", operator: "NotIn", values: ["db"] },
            { key: "x", operator: "Exists" },
          ],
        },
      },
    },
  });
  const { ask: askPath, reviews: paths } = await open(() => review({}), {
    reviewVersion: "v1beta1",
  });
  await askPath({ ...asked, isResourceRequest: false, path: "/metrics", verb: "get" });
  expect(paths[0]?.spec).toMatchObject({
    nonResourceAttributes: { path: "/metrics", verb: "get" },
    group: ["dev"],
  });
});

test("openWebhookAuthorizer() tells no from no opinion", async () => {
  const { ask: refused } = await open(() => review({ denied: true, reason: "never" }));
  expect(await refused()).toEqual({ allowed: false, isFinal: true, reason: "never" });
  const { ask: silent } = await open(() => review({ allowed: false }));
  expect(await silent()).toEqual({ allowed: false, reason: "" });
  const { ask: both } = await open(() => review({ allowed: true, denied: true }));
  expect(await both()).toMatchObject({ allowed: false, isFinal: true });
});

test("openWebhookAuthorizer() remembers as long as it is told", async () => {
  const { authorizer, reviews } = await open(() => review({ allowed: true }));
  await authorizer.authorize(asked);
  await authorizer.authorize(asked);
  expect(reviews).toHaveLength(1);
  await authorizer.authorize({ ...asked, verb: "get" });
  expect(reviews).toHaveLength(2);
  const { authorizer: denier, reviews: denied } = await open(() => review({ allowed: false }));
  await denier.authorize(asked);
  await denier.authorize(asked);
  expect(denied).toHaveLength(2);
});

test("openWebhookAuthorizer() goes by the failure policy when nobody answers well", async () => {
  const { ask, reviews } = await open(() => new Response("busy", { status: 500 }));
  const error = 'Post "https://hook.test/authorize": the server answered 500';
  expect(await ask()).toEqual({ allowed: false, isFinal: false, reason: "", error });
  expect(reviews).toHaveLength(5);
  const { ask: strict } = await open(() => new Response("<html>"), { failurePolicy: "Deny" });
  expect(await strict()).toMatchObject({ allowed: false, isFinal: true });
  const { ask: gone, reviews: once } = await open(() => new Response("", { status: 404 }));
  expect(await gone()).toMatchObject({ allowed: false });
  expect(once).toHaveLength(1);
});

test("openWebhookAuthorizer() is not asked when a condition does not hold", async () => {
  const conditions = (...matchConditions: string[]) =>
    open(() => review({ allowed: true }), { matchConditions, failurePolicy: "Deny" });
  const about = await conditions(
    "has(request.resourceAttributes)",
    "request.resourceAttributes.namespace == 'shop' && request.resourceAttributes.name == ''",
    "'dev' in request.groups",
  );
  expect(await about.ask()).toEqual({ allowed: true, reason: "" });
  const other = await conditions("request.user == 'root'");
  expect(await other.ask()).toEqual({ allowed: false, reason: "" });
  expect(other.reviews).toHaveLength(0);
  const broken = await conditions("request.nonResourceAttributes.path == '/'");
  expect(await broken.ask()).toMatchObject({ allowed: false, isFinal: true });
  expect(broken.reviews).toHaveLength(0);
});
