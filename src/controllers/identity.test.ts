import { expect, test } from "bun:test";
import { ipAddresses, secrets, serviceAccounts, services } from "../client/resources.ts";
import type { Secret } from "../gen/core-v1.ts";
import { createBootstrapTokenCleaner } from "./bootstrap-token-cleaner.ts";
import { csrRemainingMs } from "./certificates/certificates.ts";
import { signerNames, signerProblem } from "./certificates/signer-rules.ts";
import { createIpAddressController } from "./ip-address.ts";
import { createTokenSecretController } from "./service-account-token.ts";
import { World } from "./testing/world.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function tokenSecret(name: string, account: string, uid?: string): Secret {
  const prefix = "kubernetes.io/service-account";
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name,
      namespace: "team",
      annotations: { [`${prefix}.name`]: account, ...(uid && { [`${prefix}.uid`]: uid }) },
    },
    type: "kubernetes.io/service-account-token",
  };
}

test("a token secret is filled, and goes with its account", async () => {
  const world = new World();
  const signSecretToken = async ({ secretName }: { secretName: string }) => `signed ${secretName}`;
  world.run(createTokenSecretController(world.context, { rootCa: "PEM", signSecretToken }));
  const account = await world.client.create(serviceAccounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "robot", namespace: "team" },
  });
  await world.client.create(secrets, tokenSecret("good", "robot"));
  await world.client.create(secrets, tokenSecret("orphan", "nobody"));
  await world.client.create(secrets, tokenSecret("old", "robot", "another-uid"));
  await world.settle();
  expect(world.list(secrets).map(({ metadata }) => metadata.name)).toEqual(["good"]);
  expect(world.get(secrets, "team/good")).toMatchObject({
    metadata: { annotations: { "kubernetes.io/service-account.uid": account.metadata.uid } },
    data: {
      "ca.crt": base64("PEM"),
      namespace: base64("team"),
      token: base64("signed good"),
    },
  });
  await world.client.delete(serviceAccounts, "team", "robot");
  await world.settle();
  expect(world.list(secrets)).toEqual([]);
});

test("a bootstrap token is deleted when it expires, not before", async () => {
  const world = new World();
  world.run(createBootstrapTokenCleaner(world.context));
  await world.client.create<Secret>(secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" },
    type: "bootstrap.kubernetes.io/token",
    data: { expiration: base64(new Date(world.nowMs + 60_000).toISOString()) },
  });
  await world.advance(59_000);
  expect(world.list(secrets)).toHaveLength(1);
  await world.advance(2_000);
  expect(world.list(secrets)).toEqual([]);
});

test("every cluster IP has its IPAddress, as long as its service", async () => {
  const world = new World();
  world.run(createIpAddressController(world.context));
  const metadata = { name: "web", namespace: "team" };
  const spec = { clusterIP: "10.43.0.9", clusterIPs: ["10.43.0.9"] };
  await world.client.create(services, { apiVersion: "v1", kind: "Service", metadata, spec });
  await world.settle();
  expect(world.get(ipAddresses, "10.43.0.9").spec).toEqual({
    parentRef: { group: "", resource: "services", namespace: "team", name: "web" },
  });
  await world.client.delete(ipAddresses, "", "10.43.0.9");
  await world.settle();
  expect(world.list(ipAddresses)).toHaveLength(1);
  await world.client.delete(services, "team", "web");
  await world.settle();
  expect(world.list(ipAddresses)).toEqual([]);
});

test("signerProblem() lets kubelets have certificates for themselves only", () => {
  const names = { dnsNames: [], ips: [], emails: [], uris: [], isSigned: true };
  const request = {
    subject: { commonName: "system:node:n1", organizations: ["system:nodes"] },
    publicKey: {} as never,
    ...names,
  };
  const username = "system:node:n1";
  const usages = ["digital signature", "client auth"];
  const client = { request, usages, username };
  expect(signerProblem(signerNames.kubeletClient, client)).toBeUndefined();
  expect(
    signerProblem(signerNames.kubeletClient, { ...client, request: { ...request, ips: ["::1"] } }),
  ).toBe("IP subjectAltNames are not allowed");
  const admin = { commonName: "admin", organizations: ["system:masters"] };
  expect(
    signerProblem(signerNames.kubeletClient, {
      ...client,
      request: { ...request, subject: admin },
    }),
  ).toBe("subject organization is not system:nodes");
  const serving = {
    request: { ...request, ips: ["10.0.0.7"] },
    usages: ["digital signature", "server auth"],
    username,
  };
  expect(signerProblem(signerNames.kubeletServing, serving)).toBeUndefined();
  expect(signerProblem(signerNames.kubeletServing, { ...serving, username: "other" })).toBe(
    "subject common name is not the name of the requesting user",
  );
  expect(signerProblem(signerNames.kubeletServing, { ...serving, usages })).toContain(
    "usages did not match",
  );
});

test("csrRemainingMs() keeps decided requests an hour and open ones a day", () => {
  const created = Date.parse("2026-01-01T00:00:00Z");
  const hour = 3_600_000;
  const csr = (type?: string, certificate?: string) => ({
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name: "r", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { request: "", signerName: "a.example/b" },
    status: {
      ...(certificate === undefined ? {} : { certificate }),
      ...(type && {
        conditions: [{ type, status: "True", lastUpdateTime: "2026-01-01T01:00:00Z" }],
      }),
    },
  });
  expect(csrRemainingMs(csr(), created)).toBe(24 * hour);
  expect(csrRemainingMs(csr("Approved"), created)).toBe(24 * hour);
  expect(csrRemainingMs(csr("Approved", "PEM"), created)).toBe(2 * hour);
  expect(csrRemainingMs(csr("Denied"), created + 2 * hour)).toBe(0);
});
