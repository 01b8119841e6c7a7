/** For tests: keys of a cluster, and scopes that a test ends itself. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePki, type Pki } from "../../pki/ensure.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { DoorCertificates } from "../front-door.ts";

export interface TestPki extends Disposable {
  readonly pki: Pki;
  certificates(name?: keyof Pki["leaves"]): DoorCertificates;
}

export async function makeTestPki(runtime: Runtime): Promise<TestPki> {
  const dataDir = mkdtempSync(join(tmpdir(), "door-"));
  const pki = await ensurePki({
    dataDir,
    runtime,
    nodeName: "node-1",
    nodeIps: [],
    serviceIp: "10.43.0.1",
    clusterDomain: "cluster.local",
    tlsSans: [],
  });
  await pki.serviceKeyPem;
  return {
    pki,
    certificates(name = "serving-kube-apiserver") {
      const { certPem, keyPem } = pki.leaves[name];
      return {
        certPem,
        keyPem,
        clientCaPem: pki.authorities["client-ca"].certPem,
        requestHeaderCaPem: pki.authorities["request-header-ca"].certPem,
      };
    },
    [Symbol.dispose]: () => rmSync(dataDir, { recursive: true }),
  };
}

export interface TestScope {
  readonly scope: Scope;
  stop(): Promise<void>;
}

export function testScope(): TestScope {
  const controller = new AbortController();
  const cleanups: (() => Promise<void> | void)[] = [];
  return {
    scope: {
      signal: controller.signal,
      task: (_name, run) => void run(controller.signal),
      defer: (cleanup) => void cleanups.push(cleanup),
    },
    stop: async () => {
      controller.abort();
      for (const cleanup of cleanups.toReversed()) await cleanup();
    },
  };
}
