import { expect, test } from "bun:test";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { clusterConfigOf } from "../agent/join/cluster-config.ts";
import { MemoryApi } from "../agent/testing/memory-api.ts";
import { nodes, secrets } from "../client/resources.ts";
import { writeCertificateRequest } from "../pki/certificate-request.ts";
import { generateEcKey, issueCertificate, keyToPem } from "../pki/x509.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { type CertificateAsk, clusterSettings, issueToNode } from "./join-endpoints.ts";
import { NodePasswords } from "./node-passwords.ts";
import type { ServerOptions } from "./options.ts";

const runtime = createSimulatedRuntime(1);

async function authority(commonName: string) {
  const key = await generateEcKey();
  const now = runtime.clock.now().getTime();
  const certPem = issueCertificate(
    {
      subject: { commonName, organizations: [] },
      usage: "authority",
      sans: { dnsNames: [], ips: [] },
      publicKey: createPublicKey(key),
      notBefore: new Date(now - 1000),
      notAfter: new Date(now + 1e11),
    },
    key,
  );
  return { certPem, keyPem: keyToPem(key), certFile: "", keyFile: "" };
}

async function openDesk() {
  const api = new MemoryApi();
  const [server, client] = [await authority("server-ca"), await authority("client-ca")];
  const unused = server;
  const authorities = {
    "server-ca": server,
    "client-ca": client,
    "request-header-ca": unused,
    "etcd/server-ca": unused,
    "etcd/peer-ca": unused,
  };
  const passwords = new NodePasswords(api, runtime.random);
  const cluster = { clusterDomain: "cluster.local", serviceIp: "10.43.0.1", leafDays: undefined };
  return { api, desk: { authorities, passwords, clock: runtime.clock, ...cluster } };
}

const key = await generateEcKey();

function ask(headers: Readonly<Record<string, string>>, more: Partial<CertificateAsk> = {}) {
  const body = writeCertificateRequest(key);
  const file = "client-kubelet.crt" as const;
  return { file, headers: new Headers(headers), body, certifiedNode: undefined, ...more };
}

const a = { "k3s-node-name": "A", "k3s-node-password": "secret", "k3s-node-ip": "10.0.0.2" };

test("issueToNode() signs a node's own key for its own name", async () => {
  const { desk } = await openDesk();
  const kubelet = new X509Certificate(await issueToNode(desk, ask(a)));
  expect(kubelet.subject).toBe("O=system:nodes\nCN=system:node:a");
  expect(kubelet.checkPrivateKey(createPrivateKey(keyToPem(key)))).toBe(true);
  const serving = await issueToNode(desk, ask(a, { file: "serving-kubelet.crt" }));
  expect(new X509Certificate(serving).subjectAltName).toBe(
    "DNS:a, DNS:localhost, IP Address:10.0.0.2, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
  );
  expect(serving).toEndWith(desk.authorities["server-ca"].certPem);
  const controller = await issueToNode(desk, ask({}, { file: "client-k3s-controller.crt" }));
  expect(new X509Certificate(controller).subject).toBe("CN=system:k3s-controller");
});

test("issueToNode() keeps a name for the machine that had it first", async () => {
  const { api, desk } = await openDesk();
  await issueToNode(desk, ask(a));
  const held = await api.get(secrets, "kube-system", "a.node-password.k3s");
  expect(held).toMatchObject({ type: "k3s.cattle.io/node-password", immutable: true });
  const hash = Buffer.from(held.data?.hash ?? "", "base64").toString();
  expect(hash).toMatch(/^\$1:[0-9a-f]{16}:15:8:1:[A-Za-z0-9+/]{86}$/);
  await issueToNode(desk, ask(a));
  const other = { ...a, "k3s-node-password": "guess" };
  await expect(issueToNode(desk, ask(other))).rejects.toMatchObject({ status: 403 });
  await api.delete(secrets, "kube-system", "a.node-password.k3s");
  await issueToNode(desk, ask(other));
});

test("issueToNode() knows a node by its certificate as long as it is a member", async () => {
  const { api, desk } = await openDesk();
  const certified = { certifiedNode: "a" };
  await expect(issueToNode(desk, ask(a, certified))).rejects.toThrow("is not a member");
  await api.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "a" }, spec: {} });
  await issueToNode(desk, ask(a, certified));
  const held = await api.get(secrets, "kube-system", "a.node-password.k3s");
  expect(held.metadata.ownerReferences).toMatchObject([{ kind: "Node", name: "a" }]);
  const b = { ...a, "k3s-node-name": "b" };
  await expect(issueToNode(desk, ask(b, certified))).rejects.toThrow("does not match");
});

test("issueToNode() says what is missing in a request", async () => {
  const { desk } = await openDesk();
  const body = new TextEncoder().encode("no request");
  const wrong: readonly (readonly [CertificateAsk, string])[] = [
    [ask({}), "node name not set"],
    [ask({ ...a, "k3s-node-name": "a_b" }), "invalid node name"],
    [ask({ "k3s-node-name": "a" }), "node password not set"],
    [ask({ ...a, "k3s-node-ip": "10.0.0" }), 'invalid node IP "10.0.0"'],
    [ask(a, { body }), "invalid certificate request"],
  ];
  for (const [one, message] of wrong) await expect(issueToNode(desk, one)).rejects.toThrow(message);
});

test("an agent reads the settings that a server tells, in Go's form", () => {
  const options = {
    clusterCidrs: ["10.42.0.0/16"],
    serviceCidrs: ["10.43.0.0/16"],
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    disableKubeProxy: false,
    disableNetworkPolicy: true,
    disable: new Set(["coredns"]),
    flannel: { backend: "host-gw", masqueradesIpv6: false, usesExternalIp: true },
    egressSelectorMode: "agent",
    httpsListenPort: 6443,
    advertise: { address: undefined, port: 6443 },
    serviceNodePortRange: { first: 30000, last: 32767 },
  } as unknown as ServerOptions;
  const settings = clusterSettings(options);
  expect(settings).toMatchObject({
    ClusterIPRange: { IP: "10.42.0.0", Mask: "//8AAA==" },
    ServiceNodePortRange: { Base: 30000, Size: 2768 },
  });
  expect(clusterConfigOf(JSON.stringify(settings))).toEqual({
    clusterCidrs: ["10.42.0.0/16"],
    serviceCidrs: ["10.43.0.0/16"],
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    disable: new Set(["coredns"]),
    disableKubeProxy: false,
    disableNetworkPolicy: true,
    flannel: options.flannel,
    egressSelectorMode: "agent",
  });
  expect(() => clusterConfigOf('{"FlannelBackend":"vxlan"}')).toThrow("has no ClusterIPRanges");
});
