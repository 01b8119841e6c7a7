import { expect, test } from "bun:test";
import { createMemoryFiles, createSimulatedRuntime } from "../runtime/simulated.ts";
import { dispatch } from "./commands.ts";
import { etcdFlags, etcdOptionsOf } from "./etcd.ts";
import { completeFlags, parseArguments } from "./flags.ts";
import { loneApiServerOptionsOf } from "./kube-apiserver.ts";
import { asServerFlags, kubeApiserverFlags } from "./kube-apiserver-flags.ts";

async function printed(calledAs: string, ...args: readonly string[]): Promise<string> {
  const texts: string[] = [];
  const out = (text: string): void => void texts.push(text);
  expect(await dispatch(calledAs, { args, env: {}, out, err: out })).toBe(0);
  return texts.join("");
}

test("called kube-apiserver or etcd, k3 tells the flags of these", async () => {
  const api = await printed("/opt/bin/kube-apiserver", "--help");
  expect(api).toContain("   --etcd-servers value");
  // envtest asks whether there is one, and would set it if there were.
  expect(api).not.toContain("insecure-port");
  expect(await printed("etcd", "--help")).toContain("   --listen-client-urls value");
  expect(await printed("kube-apiserver", "--version")).toMatch(/^Kubernetes v1\.36\./);
  expect(await printed("k3", "--help")).not.toContain("kube-apiserver");
});

test("etcdOptionsOf() takes http URLs with a port", () => {
  const parse = (...args: readonly string[]) =>
    etcdOptionsOf(completeFlags(etcdFlags, parseArguments(etcdFlags, args, "etcd"), {}), "/here");
  expect(parse("--data-dir=d", "--listen-client-urls=http://127.0.0.1:81,http://[::1]:82")).toEqual(
    {
      dataDir: "/here/d",
      listen: [
        { host: "127.0.0.1", port: 81 },
        { host: "::1", port: 82 },
      ],
    },
  );
  for (const url of ["https://127.0.0.1:1", "http://127.0.0.1", "somewhere"])
    expect(() => parse(`--listen-client-urls=${url}`)).toThrow("it must be http://HOST:PORT");
  expect(() => parse("--snapshot-count=4")).toThrow("etcd has no flag of that name");
});

const needed = [
  "--etcd-servers=http://127.0.0.1:2379",
  "--client-ca-file=ca.crt",
  "--service-account-issuer=https://127.0.0.1:6443/",
  "--service-account-signing-key-file=sa.key",
] as const;

const contents = {
  "/here/ca.crt": "authority",
  "/here/sa.key": "key",
  "/here/sa.crt": "certificate",
  "/certs/apiserver.crt": "serving certificate",
  "/certs/apiserver.key": "serving key",
};

async function decode(...args: readonly string[]) {
  const { clock } = createSimulatedRuntime(1);
  const files = createMemoryFiles();
  for (const [path, text] of Object.entries(contents)) await files.writeAtomic(path, text, 0o600);
  const given = parseArguments(
    kubeApiserverFlags,
    ["--cert-dir=/certs", ...args],
    "kube-apiserver",
  );
  const flags = completeFlags(kubeApiserverFlags, asServerFlags(given), {});
  return loneApiServerOptionsOf(flags, { clock, files, cwd: "/here" });
}

test("loneApiServerOptionsOf() decodes what envtest passes", async () => {
  const options = await decode(
    ...needed,
    "--allow-privileged=true",
    "--audit-policy-file=policy.yaml",
    "--request-timeout=30s",
    "--authorization-mode=RBAC",
    "--bind-address=127.0.0.1",
    "--disable-admission-plugins=ServiceAccount,AlwaysPullImages",
    "--feature-gates=A=true,B=false",
    "--secure-port=40001",
    "--service-account-key-file=sa.crt",
    "--service-cluster-ip-range=10.0.0.0/24",
  );
  expect(options).toMatchObject({
    etcdUrl: "http://127.0.0.1:2379",
    bindAddress: "127.0.0.1",
    port: 40001,
    serving: { certPem: "serving certificate", keyPem: "serving key" },
    clientCaPem: "authority",
    frontProxy: undefined,
    settings: {
      serviceCidrs: ["10.0.0.0/24"],
      serviceNodePortRange: { first: 30000, last: 32767 },
      apiServer: { "request-timeout": 30_000 },
      audit: { policyFile: "/here/policy.yaml" },
      accountTokens: {
        issuers: ["https://127.0.0.1:6443/"],
        audiences: ["https://127.0.0.1:6443/"],
      },
      authentication: { anonymous: true },
      authorization: { chain: [{ type: "RBAC" }] },
    },
    tokens: {
      keyPem: "key",
      verificationPem: "certificate",
    },
  });
  expect(options.admission.disabled).toEqual(["ServiceAccount", "AlwaysPullImages"]);
});

test("loneApiServerOptionsOf() refuses what it cannot do", async () => {
  const refusals: readonly (readonly [arg: string, message: string])[] = [
    ["--etcd-servers=http://a:1,http://b:1", "it must be one URL"],
    ["--authorization-mode=Sometimes", "it must be one of"],
    ["--enable-admission-plugins=Podd", "there is no plugin of that name"],
    ["--disable-admission-plugins=Podd", "there is no plugin of that name"],
    ["--client-ca-file=none.crt", "it cannot be read, or is empty"],
    ["--secure-port=0", "a port must be between 1 and 65535"],
  ];
  for (const [arg, message] of refusals)
    await expect(decode(...needed, arg)).rejects.toThrow(message);
  const nobody = needed.filter((arg) => !arg.startsWith("--service-account-issuer"));
  await expect(decode(...nobody)).rejects.toThrow("--service-account-issuer is missing");
});
