/** The suite's programs, built unmodified from the Go modules that go.mod names, and running it. */
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, runTool } from "../../scripts/apt.ts";
import { BUILD } from "../../scripts/deps.ts";
import { focusOf } from "./report.ts";

const MODULE = import.meta.dir;
export const OUT = join(BUILD, "conformance");

const SUITE = "k8s.io/kubernetes/test/e2e";
const VERSION_PACKAGES = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/** Programs by file name: the package each comes from, and the folder of its module. */
const PROGRAMS: Readonly<Record<string, { readonly from: string; readonly module: string }>> = {
  "e2e.test": { from: SUITE, module: MODULE },
  ginkgo: { from: "github.com/onsi/ginkgo/v2/ginkgo", module: MODULE },
  agnhost: { from: "k8s.io/kubernetes/test/images/agnhost", module: MODULE },
  "sample-apiserver": {
    from: "k8s.io/sample-apiserver",
    module: join(MODULE, "sample-apiserver"),
  },
  nnp: { from: "k8s.io/kubernetes/test/images/nonewprivs", module: MODULE },
};

/** Where a built program lies. */
export function program(name: keyof typeof PROGRAMS): string {
  return join(OUT, name);
}

/** The pinned Kubernetes version, without the v. */
export function suiteVersion(): string {
  const goMod = readFileSync(join(MODULE, "go.mod"), "utf8");
  const version = /k8s\.io\/kubernetes v(\S+)/.exec(goMod)?.[1];
  if (version === undefined)
    throw new Error("test/conformance/go.mod requires no k8s.io/kubernetes.");
  return version;
}

/** Builds what is missing or of another version. The first build takes long, later ones nothing. */
export async function buildPrograms(): Promise<void> {
  const version = suiteVersion();
  const stamp = join(OUT, "version");
  const fresh = existsSync(stamp) && readFileSync(stamp, "utf8") === version;
  mkdirSync(OUT, { recursive: true });
  const missing = Object.keys(PROGRAMS).filter((name) => !fresh || !existsSync(join(OUT, name)));
  if (missing.length === 0) return;
  const go = await runTool(["go", "version"]);
  if (go.exitCode !== 0) throw new Error("Go is missing. Install Go 1.26 or newer and try again.");
  for (const name of missing) {
    console.log(`Building ${name} of Kubernetes v${version}`);
    await buildProgram(name, version);
  }
  await Bun.write(stamp, version);
}

async function buildProgram(name: string, version: string): Promise<void> {
  const { from, module } = PROGRAMS[name] as (typeof PROGRAMS)[string];
  const [major, minor] = version.split(".");
  const facts = {
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: "clean",
  };
  const sets = VERSION_PACKAGES.flatMap((path) =>
    Object.entries(facts).map(([key, value]) => `-X ${path}.${key}=${value}`),
  );
  const verb = from === SUITE ? ["test", "-c", "-vet=off"] : ["build"];
  const flags = ["-trimpath", "-p=2", "-ldflags", ["-s", "-w", ...sets].join(" ")];
  await mustRun(
    ["nice", "env", "CGO_ENABLED=0", "go", ...verb, ...flags, "-o", join(OUT, name), from],
    "The build needs Go 1.26, 4 GB of memory and a module proxy that go env GOPROXY names.",
    { cwd: module },
  );
}

/** The images that the suite asks for, by their full names. */
export async function listImages(): Promise<string[]> {
  const text = await mustRun([program("e2e.test"), "--list-images"], "Remove build/conformance.");
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^\S+\/\S+:\S+$/.test(line));
}

export interface RunOptions {
  readonly names: readonly string[];
  readonly kubeconfig: string;
  readonly kubectl: string;
  /** Folder of the log and the reports. */
  readonly dir: string;
  readonly procs: number;
  readonly nodes: boolean;
  readonly timeout: string;
  readonly contentType?: string;
}

/** Runs the named tests; resolves when the suite has ended, with the path of ginkgo's report. */
export async function runSuite(options: RunOptions): Promise<string> {
  const { dir, procs } = options;
  const log = openSync(join(dir, "e2e.log"), "w");
  const child = Bun.spawn(
    [
      "nice",
      program("ginkgo"),
      `--procs=${procs}`,
      "--no-color",
      "-v",
      `--timeout=${options.timeout}`,
      `--focus=${focusOf(options.names)}`,
      program("e2e.test"),
      "--",
      ...suiteFlags(options),
    ],
    { stdout: log, stderr: log, stdin: "ignore", cwd: dir },
  );
  const end = (): void => child.kill("SIGTERM");
  process.once("SIGINT", end);
  await child.exited;
  process.removeListener("SIGINT", end);
  const report = join(dir, "ginkgo/report.json");
  if (!existsSync(report)) throw new Error(`The suite wrote no report. Its log is ${dir}/e2e.log.`);
  return report;
}

function suiteFlags({ dir, kubeconfig, kubectl, nodes, contentType }: RunOptions): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--kubectl-path=${kubectl}`,
    "--provider=skeleton",
    `--report-dir=${dir}`,
    "--report-complete-ginkgo",
    "--dump-logs-on-failure=false",
    "--disable-log-dump",
    `--e2e-output-dir=${dir}`,
    ...(nodes ? [] : ["--num-nodes=0", "--allowed-not-ready-nodes=-1"]),
    ...(contentType === undefined ? [] : [`--kube-api-content-type=${contentType}`]),
  ];
}
