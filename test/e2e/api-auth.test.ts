/** Credentials of every kind against the real binary: given out, believed, bounded, taken back. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { makeCertificateRequest } from "../../src/pki/testing/request.ts";
import { generateEcKey, issueCertificate, keyToPem } from "../../src/pki/x509.ts";
import { Cluster, reasonToSkip } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: credentials: ${skip}`);

interface Identity {
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

interface Answer {
  readonly code: number;
  readonly body: {
    readonly reason?: string;
    readonly message?: string;
    readonly status?: {
      readonly userInfo?: {
        readonly username: string;
        readonly groups: readonly string[];
        readonly extra?: Readonly<Record<string, readonly string[]>>;
      };
    };
  } & Readonly<Record<string, unknown>>;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe.skipIf(skip !== undefined)("credentials", () => {
  let cluster: Cluster;
  let server = "";
  let ca = "";

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.startWithoutAgent();
    const kubeconfig = readFileSync(cluster.kubeconfig, "utf8");
    server = /server: (\S+)/.exec(kubeconfig)?.[1] ?? "";
    const data = /certificate-authority-data: (\S+)/.exec(kubeconfig)?.[1] ?? "";
    ca = Buffer.from(data, "base64").toString();
  }, 60_000);
  afterAll(async () => cluster.destroy());

  async function ask(path: string, as: Identity = {}, init: RequestInit = {}): Promise<Answer> {
    const { token, cert, key } = as;
    const response = await fetch(`${server}${path}`, {
      ...init,
      headers: {
        "content-type": "application/json",
        connection: "close",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      tls: { ca, ...(cert === undefined ? {} : { cert, key }) },
    });
    const text = await response.text();
    const isJson = text.startsWith("{");
    return { code: response.status, body: isJson ? JSON.parse(text) : { message: text } };
  }

  function post(path: string, as: Identity, body: unknown): Promise<Answer> {
    return ask(path, as, { method: "POST", body: JSON.stringify(body) });
  }

  async function whoAmI(as: Identity) {
    const { body } = await post("/apis/authentication.k8s.io/v1/selfsubjectreviews", as, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "SelfSubjectReview",
    });
    return body.status?.userInfo;
  }

  function signingRequest(name: string, signerName: string, pem: string, usages: string[]) {
    return {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name },
      spec: { request: base64(pem), signerName, usages, expirationSeconds: 3600 },
    };
  }

  async function signed(name: string): Promise<string> {
    let certificate = "";
    await cluster.until(`${name} is signed`, async () => {
      const path = "jsonpath={.status.certificate}";
      const { stdout } = await cluster.kubectl(["get", "csr", name, "-o", path]);
      certificate = Buffer.from(stdout, "base64").toString();
      return certificate !== "";
    });
    return certificate;
  }

  const clientUsages = ["digital signature", "client auth"];

  test("nobody sees what is open to all, and wrong credentials are refused", async () => {
    expect((await ask("/readyz")).code).toBe(200);
    const closed = ["/", "/api", "/apis", "/api/v1/pods", "/version", "/metrics", "/readyz/ping"];
    closed.push(
      "/openapi/v2",
      "/openapi/v3",
      "/.well-known/openid-configuration",
      "/openid/v1/jwks",
    );
    for (const path of [...closed, "/v1-k3s/readyz", "/v1-k3s/server-ca.crt", "/nowhere"]) {
      expect(await ask(path)).toMatchObject({ code: 401, body: { reason: "Unauthorized" } });
    }
    expect((await ask("/cacerts")).code).toBe(200);
    for (const path of ["/debug/pprof/", "/debug/pprof/profile", "/debug/flags/v", "/logs/"]) {
      expect((await ask(path)).code).toBe(401);
      expect((await cluster.kubectl(["get", "--raw", path])).stderr).toContain("NotFound");
    }
    expect(await ask("/readyz", { token: "nonsense" })).toMatchObject({
      code: 401,
      body: { reason: "Unauthorized", message: "Unauthorized" },
    });
    const key = await generateEcKey();
    const cert = issueCertificate(
      {
        subject: { commonName: "system:admin", organizations: ["system:masters"] },
        usage: "client",
        sans: { dnsNames: [], ips: [] },
        publicKey: createPublicKey(key),
        notBefore: new Date(Date.now() - 60_000),
        notAfter: new Date(Date.now() + 3_600_000),
      },
      key,
    );
    expect(await ask("/api/v1/pods", { cert, key: keyToPem(key) })).toMatchObject({ code: 401 });
  });

  test("a certificate is asked for, approved, signed, used and bounded by roles", async () => {
    const key = await generateEcKey();
    const pem = makeCertificateRequest({ commonName: "jane", organizations: ["dev"] }, key);
    const signer = "kubernetes.io/kube-apiserver-client";
    const body = JSON.stringify(signingRequest("jane", signer, pem, clientUsages));
    await cluster.run("create -f -", body);
    await cluster.run("certificate approve jane");
    const jane = { cert: await signed("jane"), key: keyToPem(key) };
    const info = await whoAmI(jane);
    expect(info).toMatchObject({ username: "jane", groups: ["dev", "system:authenticated"] });
    const [id = ""] = info?.extra?.["authentication.kubernetes.io/credential-id"] ?? [];
    expect(id).toMatch(/^X509SHA256=[0-9a-f]{64}$/);
    const pods = "/api/v1/namespaces/default/pods";
    expect((await ask(pods, jane)).code).toBe(403);
    await cluster.run("create rolebinding jane --clusterrole=view --user=jane");
    expect((await ask(pods, jane)).code).toBe(200);
    expect((await ask("/api/v1/namespaces/default/secrets", jane)).code).toBe(403);
    await cluster.run(
      "create role granter --verb=create --resource=roles.rbac.authorization.k8s.io",
    );
    await cluster.run("create rolebinding granter --role=granter --user=jane");
    const roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    const role = (verbs: string[]) => ({
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: `role-${verbs[0]}` },
      rules: [{ apiGroups: [""], resources: ["pods"], verbs }],
    });
    expect((await post(roles, jane, role(["get"]))).code).toBe(201);
    const refused = await post(roles, jane, role(["delete"]));
    expect(refused.code).toBe(403);
    expect(refused.body.message).toContain("attempting to grant RBAC permissions not currently");
    const masters = makeCertificateRequest(
      { commonName: "m", organizations: ["system:masters"] },
      key,
    );
    const request = JSON.stringify(signingRequest("m", signer, masters, clientUsages));
    expect((await cluster.kubectl("create -f -", request)).stderr).toContain(
      "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
    );
  });

  test("a service account's tokens end with what they are bound to", async () => {
    await cluster.run("create serviceaccount robot");
    const token = (await cluster.run("create token robot --duration=600s")).trim();
    expect(await whoAmI({ token })).toMatchObject({
      username: "system:serviceaccount:default:robot",
    });
    const review = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token },
    };
    const reviewed = await cluster.run("create -o json -f -", JSON.stringify(review));
    expect(JSON.parse(reviewed).status).toMatchObject({
      authenticated: true,
      user: { username: "system:serviceaccount:default:robot" },
      audiences: ["https://kubernetes.default.svc.cluster.local", "k3s"],
    });
    const other = (await cluster.run("create token robot --audience=vault")).trim();
    expect((await ask("/readyz", { token: other })).code).toBe(401);
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name: "robot-token",
        annotations: { "kubernetes.io/service-account.name": "robot" },
      },
      type: "kubernetes.io/service-account-token",
    };
    await cluster.run("create -f -", JSON.stringify(secret));
    let legacy = "";
    await cluster.until("the secret has its token", async () => {
      const text = await cluster.run("get secret robot-token -o jsonpath={.data.token}");
      legacy = Buffer.from(text, "base64").toString();
      return legacy !== "";
    });
    expect(await whoAmI({ token: legacy })).toMatchObject({
      username: "system:serviceaccount:default:robot",
    });
    await cluster.run("delete secret robot-token");
    expect((await ask("/readyz", { token: legacy })).code).toBe(401);
    await cluster.run("delete serviceaccount robot");
    expect((await ask("/readyz", { token })).code).toBe(401);
    const admin = await cluster.run("get --raw /.well-known/openid-configuration");
    expect(JSON.parse(admin).issuer).toBe("https://kubernetes.default.svc.cluster.local");
    expect(JSON.parse(await cluster.run("get --raw /openid/v1/jwks")).keys).toHaveLength(1);
  });

  test("a bootstrap token brings a node in, and the node stays within its bounds", async () => {
    const data = {
      "token-id": "abcdef",
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-authentication": "true",
    };
    await cluster.run(
      "create -f -",
      JSON.stringify({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" },
        type: "bootstrap.kubernetes.io/token",
        stringData: data,
      }),
    );
    const newcomer = { token: "abcdef.0123456789abcdef" };
    expect(await whoAmI(newcomer)).toMatchObject({
      username: "system:bootstrap:abcdef",
      groups: ["system:bootstrappers", "system:authenticated"],
    });
    for (const role of [
      "system:node-bootstrapper",
      "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
    ]) {
      const name = role.split(":").at(-1) ?? "";
      await cluster.run(
        `create clusterrolebinding ${name} --clusterrole=${role} --group=system:bootstrappers`,
      );
    }
    const key = await generateEcKey();
    const subject = { commonName: "system:node:n1", organizations: ["system:nodes"] };
    const pem = makeCertificateRequest(subject, key);
    const signer = "kubernetes.io/kube-apiserver-client-kubelet";
    const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    const made = await post(path, newcomer, signingRequest("n1", signer, pem, clientUsages));
    expect(made.code).toBe(201);
    const node = { cert: await signed("n1"), key: keyToPem(key) };
    const register = (name: string) =>
      post("/api/v1/nodes", node, { apiVersion: "v1", kind: "Node", metadata: { name } });
    expect((await register("n1")).code).toBe(201);
    expect(await register("n2")).toMatchObject({
      code: 403,
      body: {
        message: 'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
      },
    });
    expect((await ask("/api/v1/namespaces/default/secrets", node)).code).toBe(403);
  });

  test("an administrator acts as others, and asks what they may", async () => {
    const as = "--as=jane --as-group=ops --as-uid=u1 --as-user-extra=scopes=all";
    const { stdout, stderr } = await cluster.kubectl(`auth whoami -o json ${as}`);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout).status.userInfo).toEqual({
      username: "jane",
      uid: "u1",
      groups: ["ops", "system:authenticated"],
      extra: { scopes: ["all"] },
    });
    expect((await cluster.kubectl("auth can-i get pods --as=jane")).stdout.trim()).toBe("yes");
    expect((await cluster.kubectl("auth can-i delete pods --as=jane")).stdout.trim()).toBe("no");
    const list = await cluster.run("auth can-i --list --as=jane");
    expect(list).toContain("configmaps");
    const config = "get configmap extension-apiserver-authentication -n kube-system -o json";
    expect(JSON.parse(await cluster.run(config)).data).toMatchObject({
      "requestheader-allowed-names": '["system:auth-proxy"]',
      "requestheader-username-headers": '["X-Remote-User"]',
    });
  });
});
