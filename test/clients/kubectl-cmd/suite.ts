/** Upstream's kubectl command tests (test/cmd), taken from the module of Kubernetes. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { mustRun } from "../../../scripts/apt.ts";
import { Cluster } from "../../e2e/cluster.ts";
import { moduleFolder, OUT, type Result, type Suite } from "../suite.ts";

const version = "v1.36.4";
const out = join(OUT, "kubectl-cmd");
const source = join(out, `kubernetes-${version}`);
/** What of the tree the tests read; they write there too. */
const parts = [
  "api/openapi-spec",
  "cluster",
  "hack",
  "test/cmd",
  "test/e2e/testing-manifests",
  "test/fixtures",
  "third_party/forked/shell2junit",
];

async function prepare(): Promise<void> {
  if (existsSync(source)) return;
  const module = await moduleFolder("k8s.io/kubernetes", version);
  for (const part of parts) {
    mkdirSync(dirname(join(source, part)), { recursive: true });
    cpSync(join(module, part), join(source, part), { recursive: true });
  }
  await mustRun(["chmod", "-R", "u+w", source], "Remove the folder and try again.");
  // A module's files have lost the mark of programs.
  const plugins = join(source, "test/fixtures/pkg/kubectl/plugins");
  await mustRun(["chmod", "-R", "u+x", plugins], "Remove the folder and try again.");
}

/** The token that upstream's tests have in a file is known to a webhook here. */
function serveTokens() {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const review = (await request.json()) as { apiVersion: string; spec: { token: string } };
      const user = { username: "admin", groups: ["system:masters"] };
      const isKnown = review.spec.token === "admin-token";
      const status = isKnown ? { authenticated: true, user } : { authenticated: false };
      return Response.json({ ...review, status });
    },
  });
}

/** The flags of upstream's hack/make-rules/test-cmd.sh, as far as they have a meaning here. */
function serverFlags(tokenConfig: string): readonly string[] {
  const off = [
    "DefaultStorageClass",
    "DefaultTolerationSeconds",
    "MutatingAdmissionWebhook",
    "ServiceAccount",
    "StorageObjectInUseProtection",
    "ValidatingAdmissionWebhook",
  ];
  const api = [
    `authentication-token-webhook-config-file=${tokenConfig}`,
    "authorization-mode=RBAC,AlwaysAllow",
    `disable-admission-plugins=${off.join(",")}`,
  ];
  return [
    "--disable=coredns,local-storage,metrics-server,servicelb",
    "--disable-scheduler",
    "--kube-controller-manager-arg=allocate-node-cidrs=false",
    "--service-cidr=10.0.0.0/24",
    ...api.map((argument) => `--kube-apiserver-arg=${argument}`),
  ];
}

async function run(dir: string, only: string): Promise<readonly Result[]> {
  const cluster = new Cluster();
  const tokens = serveTokens();
  try {
    const tls = join(cluster.dataDir, "server/tls");
    mkdirSync(tls, { recursive: true });
    // The tests know the authority of clients by name.
    for (const kind of ["crt", "key"])
      copyFileSync(join(source, `hack/testdata/ca/ca.${kind}`), join(tls, `client-ca.${kind}`));
    const tokenConfig = join(cluster.dataDir, "tokens.yaml");
    writeFileSync(tokenConfig, webhookConfig(`http://127.0.0.1:${tokens.port}/`));
    await cluster.startWithoutAgent(...serverFlags(tokenConfig));
    const bin = join(source, "_output/bin");
    const temp = join(dir, "tmp");
    for (const folder of [bin, temp]) mkdirSync(folder, { recursive: true });
    rmSync(join(bin, "kubectl"), { force: true });
    symlinkSync(join(cluster.dataDir, "data/current/bin/kubectl"), join(bin, "kubectl"));
    copyFileSync(join(tls, "serving-kube-apiserver.crt"), join(temp, "apiserver.crt"));
    const script = join(import.meta.dir, "run.sh");
    chmodSync(script, 0o755);
    const log = Bun.file(join(dir, "test-cmd.log"));
    const child = Bun.spawn(["nice", script], {
      env: {
        ...process.env,
        KUBE_ROOT: source,
        ADMIN_CONFIG: cluster.kubeconfig,
        API_PORT: "6443",
        REPORT_DIR: dir,
        TMPDIR: temp,
        // k3's version has a suffix, its kubectl is upstream's own.
        ALLOW_SKEW: "y",
        ...(only === "" ? {} : { WHAT: only }),
      },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    await child.exited;
    return readReport(readFileSync(join(dir, "test-cmd.log"), "utf8"));
  } finally {
    await tokens.stop(true);
    await cluster.destroy();
  }
}

function webhookConfig(server: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "tokens", cluster: { server } }],
    users: [{ name: "k3", user: {} }],
    contexts: [{ name: "tokens", context: { cluster: "tokens", user: "k3" } }],
    "current-context": "tokens",
  });
}

/** Each test begins with a line `Recording: NAME`, and says so when it fails. */
function readReport(log: string): readonly Result[] {
  return log
    .split("\nRecording: ")
    .slice(1)
    .flatMap((text) => {
      const name = text.slice(0, text.indexOf("\n"));
      if (!name.startsWith("run_")) return [];
      const end = text.indexOf(`Error when running ${name}`);
      const before = text.slice(0, end).split("!!!")[0] ?? "";
      const problem = end < 0 ? undefined : before.trim().split("\n").slice(-3).join(" ");
      return [{ name: name.replace(/^run_/, ""), problem }];
    });
}

export const suite: Suite = { title: `test/cmd of Kubernetes ${version}`, prepare, run };
