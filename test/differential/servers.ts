/**
 * The two servers that are compared: upstream's kube-apiserver with etcd, and k3. Both stand on the
 * same certificates and service account keys, so that one credential opens both.
 */
import { existsSync, mkdirSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { aptDownload, machineMirror, mustRun, PrivateApt } from "../../scripts/apt.ts";
import { BUILD, ROOT } from "../../scripts/deps.ts";
import { hostArch } from "../../scripts/images.ts";
import { buildPrograms, program } from "../conformance/suite.ts";

export const OUT = join(BUILD, "differential");

const ports = { k3: 16443, upstream: 16444, etcd: 16379, etcdPeer: 16380 } as const;
const startLimitMs = 120_000;
/** Where the kubernetes Service leads to; upstream takes no loopback address. */
const advertised = "192.0.2.1";
const issuer = "https://kubernetes.default.svc.cluster.local";

/** Everything that is not the API server: the stores hold what the requests left, nothing else. */
const withoutTheRest = [
  "--disable-agent",
  "--disable-scheduler",
  "--disable-controller-manager",
  "--disable-cloud-controller",
  "--disable-kube-proxy",
  "--disable-network-policy",
  "--disable-helm-controller",
  "--disable=coredns,servicelb,traefik,local-storage,metrics-server",
];

export interface Server {
  readonly url: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

export interface Servers {
  readonly upstream: Server;
  readonly k3: Server;
  stop(): Promise<void>;
}

const etcdProgram = join(OUT, "etcd/usr/bin/etcd");

/** Builds upstream's kube-apiserver and unpacks Debian's etcd, once per version. */
export async function buildUpstream(): Promise<void> {
  mkdirSync(OUT, { recursive: true });
  await buildPrograms(["kube-apiserver"]);
  if (existsSync(etcdProgram)) return;
  const mirror = await machineMirror();
  const mend = `Check that ${mirror} carries the package etcd-server.`;
  const apt = new PrivateApt(join(OUT, "apt"));
  await apt.update(mirror);
  const [etcd] = await apt.show(["etcd-server"], hostArch());
  const deb = join(OUT, "etcd-server.deb");
  if (etcd === undefined || !(await aptDownload(`${mirror}/${etcd.file}`, deb, etcd.sha256)))
    throw new Error(`etcd-server could not be downloaded. ${mend}`);
  await mustRun(["dpkg", "-x", deb, join(OUT, "etcd")], mend);
}

function spawn(name: string, argv: readonly string[]): Bun.Subprocess {
  const log = openSync(join(OUT, `${name}.log`), "w");
  return Bun.spawn([...argv], { stdout: log, stderr: log, stdin: "ignore" });
}

async function becomesReady(child: Bun.Subprocess, name: string, server: Server): Promise<void> {
  const end = Date.now() + startLimitMs;
  for (;;) {
    const answer = await fetch(`${server.url}/readyz`, { tls: server.tls }).catch(() => undefined);
    if (answer?.status === 200) return;
    if (child.exitCode !== null || Date.now() > end)
      throw new Error(`${name} did not become ready. Its log is ${OUT}/${name}.log.`);
    await Bun.sleep(200);
  }
}

function upstreamFlags(tls: string): string[] {
  const flags = {
    "etcd-servers": `http://127.0.0.1:${ports.etcd}`,
    "secure-port": ports.upstream,
    "advertise-address": advertised,
    "cert-dir": join(OUT, "data/certs"),
    "tls-cert-file": `${tls}/serving-kube-apiserver.crt`,
    "tls-private-key-file": `${tls}/serving-kube-apiserver.key`,
    "client-ca-file": `${tls}/client-ca.crt`,
    "service-account-key-file": `${tls}/service.key`,
    "service-account-signing-key-file": `${tls}/service.current.key`,
    "service-account-issuer": issuer,
    "api-audiences": `${issuer},k3s`,
    "service-cluster-ip-range": "10.43.0.0/16",
    "authorization-mode": "Node,RBAC",
    "enable-admission-plugins": "NodeRestriction",
    "allow-privileged": true,
    "anonymous-auth": false,
    "enable-aggregator-routing": true,
    "enable-bootstrap-token-auth": true,
    profiling: false,
    "requestheader-client-ca-file": `${tls}/request-header-ca.crt`,
    "requestheader-allowed-names": "system:auth-proxy",
    "requestheader-username-headers": "X-Remote-User",
    "requestheader-group-headers": "X-Remote-Group",
    "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    "proxy-client-cert-file": `${tls}/client-auth-proxy.crt`,
    "proxy-client-key-file": `${tls}/client-auth-proxy.key`,
    "kubelet-client-certificate": `${tls}/client-kube-apiserver.crt`,
    "kubelet-client-key": `${tls}/client-kube-apiserver.key`,
  };
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}

async function serverAt(port: number, tls: string): Promise<Server> {
  const text = (name: string): Promise<string> => Bun.file(join(tls, name)).text();
  return {
    url: `https://127.0.0.1:${port}`,
    tls: {
      ca: await text("server-ca.crt"),
      cert: await text("client-admin.crt"),
      key: await text("client-admin.key"),
    },
  };
}

async function appears(path: string, child: Bun.Subprocess): Promise<void> {
  const end = Date.now() + startLimitMs;
  while (!existsSync(path)) {
    if (child.exitCode !== null || Date.now() > end)
      throw new Error(`k3 wrote no kubeconfig. Its log is ${OUT}/k3.log.`);
    await Bun.sleep(100);
  }
}

/** Starts both with empty stores; resolves when both are ready. */
export async function startServers(): Promise<Servers> {
  const data = join(OUT, "data");
  rmSync(data, { recursive: true, force: true });
  mkdirSync(join(data, "certs"), { recursive: true });
  const children: Bun.Subprocess[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) {
      child.kill("SIGTERM");
      await child.exited;
    }
    rmSync(data, { recursive: true, force: true });
  };
  try {
    const k3Flags = [
      `--https-listen-port=${ports.k3}`,
      `--data-dir=${data}/k3`,
      `--write-kubeconfig=${data}/k3.yaml`,
      `--advertise-address=${advertised}`,
    ];
    const binary = join(ROOT, `dist/k3-${hostArch()}`);
    const k3Child = spawn("k3", [binary, "server", ...k3Flags, ...withoutTheRest]);
    children.push(k3Child);
    const etcdUrl = `http://127.0.0.1:${ports.etcd}`;
    const etcdFlags = [
      `--data-dir=${data}/etcd`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=http://127.0.0.1:${ports.etcdPeer}`,
    ];
    children.push(spawn("etcd", [etcdProgram, ...etcdFlags]));
    const tls = join(data, "k3/server/tls");
    await appears(join(data, "k3.yaml"), k3Child);
    const k3 = await serverAt(ports.k3, tls);
    await becomesReady(k3Child, "k3", k3);
    const upstreamChild = spawn("upstream", [program("kube-apiserver"), ...upstreamFlags(tls)]);
    children.push(upstreamChild);
    const upstream = await serverAt(ports.upstream, tls);
    await becomesReady(upstreamChild, "upstream", upstream);
    return { k3, upstream, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
