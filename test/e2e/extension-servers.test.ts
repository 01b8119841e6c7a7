/** Servers that extend the API, over real TLS: an admission webhook and an aggregated API. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { servingCertificate } from "./serving-certificate.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: extension servers: ${skip}`);

/** Its own authority: one certificate that clients are to trust. */
const resources = {
  kind: "APIResourceList",
  apiVersion: "v1",
  groupVersion: "stars.example.com/v1",
  resources: [
    {
      name: "stars",
      singularName: "star",
      namespaced: true,
      kind: "Star",
      verbs: ["get", "list"],
      shortNames: ["st"],
    },
  ],
};

describe.skipIf(skip !== undefined)("extension servers", () => {
  let cluster: Cluster;
  let webhook: Bun.Server<undefined>;
  let backend: Bun.Server<undefined>;
  let caBundle: { webhook: string; backend: string };
  const seen: { user: string | null; groups: string | null; path: string }[] = [];

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.startWithoutAgent();
    const hookTls = await servingCertificate("hook.default.svc");
    const backendTls = await servingCertificate("stars.default.svc");
    caBundle = {
      webhook: Buffer.from(hookTls.cert).toString("base64"),
      backend: Buffer.from(backendTls.cert).toString("base64"),
    };
    webhook = Bun.serve({
      port: 0,
      tls: hookTls,
      fetch: async (request) => {
        const { apiVersion, request: asked } = (await request.json()) as {
          apiVersion: string;
          request: { uid: string; object: { data?: Record<string, string> } };
        };
        const isBad = asked.object.data?.bad !== undefined;
        const status = { message: "bad data", code: 403 };
        const response = { uid: asked.uid, allowed: !isBad, ...(isBad ? { status } : {}) };
        return Response.json({ apiVersion, kind: "AdmissionReview", response });
      },
    });
    const frontProxyCa = join(cluster.dataDir, "server/tls/request-header-ca.crt");
    backend = Bun.serve({
      port: 0,
      tls: {
        ...backendTls,
        ca: readFileSync(frontProxyCa, "utf8"),
        requestCert: true,
        rejectUnauthorized: true,
      },
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        const { headers } = request;
        const [user, groups] = [headers.get("x-remote-user"), headers.get("x-remote-group")];
        seen.push({ user, groups, path: pathname });
        if (pathname === "/apis/stars.example.com/v1") return Response.json(resources);
        const metadata = { name: "sun", namespace: "default" };
        const star = { apiVersion: "stars.example.com/v1", kind: "Star", metadata };
        if (pathname.endsWith("/stars")) {
          return Response.json({ ...star, kind: "StarList", metadata: {}, items: [star] });
        }
        return pathname.endsWith("/stars/sun")
          ? Response.json(star)
          : Response.json({ kind: "Status", apiVersion: "v1", code: 404 }, { status: 404 });
      },
    });
    const external = (name: string, port: number) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {type: ExternalName, externalName: localhost, ports: [{port: ${port}}]}
`;
    await cluster.run(
      "apply -f -",
      [external("hook", webhook.port ?? 0), external("stars", backend.port ?? 0)].join("---"),
    );
  }, 60_000);
  afterAll(async () => {
    await webhook?.stop(true);
    await backend?.stop(true);
    await cluster?.destroy();
  });

  test("a webhook is asked over TLS, by its Service's name", async () => {
    await cluster.run(
      "apply -f -",
      `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: hook.example.com
  clientConfig:
    caBundle: ${caBundle.webhook}
    service: {namespace: default, name: hook, port: ${webhook.port}, path: /admit}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
  sideEffects: None
  admissionReviewVersions: [v1]
  matchConditions: [{name: free, expression: "object.metadata.name != 'free'"}]
`,
    );
    await cluster.run("create configmap good --from-literal=a=b");
    const refused = await cluster.kubectl("create configmap other --from-literal=bad=1");
    expect(refused.stderr).toContain(
      'admission webhook "hook.example.com" denied the request: bad data',
    );
    await cluster.run("create configmap free --from-literal=bad=1");
    const patch = JSON.stringify([
      { op: "replace", path: "/webhooks/0/clientConfig/caBundle", value: caBundle.backend },
    ]);
    await cluster.run([
      ..."patch validatingwebhookconfiguration hook --type=json -p".split(" "),
      patch,
    ]);
    const untrusted = await cluster.kubectl("create configmap more --from-literal=a=b");
    expect(untrusted.stderr).toContain("certificate signed by unknown authority");
    await cluster.run("delete validatingwebhookconfiguration hook");
  });

  test("an aggregated API is available, discovered and asked as the user", async () => {
    await cluster.run(
      "apply -f -",
      `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.stars.example.com}
spec:
  group: stars.example.com
  version: v1
  caBundle: ${caBundle.backend}
  groupPriorityMinimum: 1000
  versionPriority: 15
  service: {namespace: default, name: stars, port: ${backend.port}}
`,
    );
    await cluster.run(
      "wait apiservice v1.stars.example.com --for=condition=Available --timeout=20s",
    );
    expect(await cluster.run("api-resources --api-group=stars.example.com")).toContain("Star");
    expect(await cluster.run("get stars")).toContain("sun");
    expect(await cluster.run("get st sun -o name")).toBe("star.stars.example.com/sun\n");
    const asked = seen.find(({ path }) => path.endsWith("/stars/sun"));
    expect(asked?.user).toBe("system:admin");
    expect(asked?.groups).toContain("system:masters");
    const bob = await cluster.kubectl("get stars --as=bob");
    expect(bob.stderr).toContain('User "bob" cannot list resource "stars"');
  });

  test("the groups of the server itself are listed as local", async () => {
    const table = await cluster.run("get apiservices");
    expect(table).toMatch(/^v1\.\s+Local\s+True/m);
    expect(table).toMatch(/^v1\.apps\s+Local\s+True/m);
    expect(table).toMatch(/^v1\.stars\.example\.com\s+default\/stars\s+True/m);
  });

  test("a server that is gone is told so, and the rest of the API goes on", async () => {
    await backend.stop(true);
    await cluster.run("annotate service stars changed=yes");
    const condition = "--for=condition=Available=False --timeout=20s";
    await cluster.run(`wait apiservice v1.stars.example.com ${condition}`);
    const failed = await cluster.kubectl("get stars");
    expect(failed.stderr).toContain("error trying to reach service");
    expect(await cluster.run("get configmap good -o name")).toBe("configmap/good\n");
    await cluster.run("delete apiservice v1.stars.example.com");
    const gone = await cluster.kubectl("get --raw /apis/stars.example.com/v1");
    expect(gone.stderr).toContain("could not find the requested resource");
  });
});
