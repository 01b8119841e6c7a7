/** The suite's programs, built unmodified from the Go modules that go.mod names, and running it. */
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, runTool } from "../../scripts/apt.ts";
import { BUILD } from "../../scripts/deps.ts";
import { focusOf } from "./report.ts";

const MODULE = import.meta.dir;
export const OUT = join(BUILD, "conformance");

const VERSION_PACKAGES = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

interface Program {
  /** The package; one that only holds tests is built as a test program. */
  readonly from: string;
  readonly isTest?: true;
  /** The folder of the module that pins it. */
  readonly module: string;
}

const PROGRAMS = {
  "e2e.test": { from: "k8s.io/kubernetes/test/e2e", isTest: true, module: MODULE },
  ginkgo: { from: "github.com/onsi/ginkgo/v2/ginkgo", module: MODULE },
  agnhost: { from: "k8s.io/kubernetes/test/images/agnhost", module: MODULE },
  "sample-apiserver": {
    from: "k8s.io/sample-apiserver",
    module: join(MODULE, "sample-apiserver"),
  },
  "kube-apiserver": { from: "k8s.io/kubernetes/cmd/kube-apiserver", module: MODULE },
  nnp: { from: "k8s.io/kubernetes/test/images/nonewprivs", module: MODULE },
  critest: {
    from: "sigs.k8s.io/cri-tools/cmd/critest",
    isTest: true,
    module: join(MODULE, "critest"),
  },
  "gateway.test": {
    from: "sigs.k8s.io/gateway-api/conformance",
    isTest: true,
    module: join(MODULE, "gateway-api"),
  },
  "echo-basic": {
    from: "sigs.k8s.io/gateway-api/conformance/echo-basic",
    module: join(MODULE, "gateway-api"),
  },
} satisfies Readonly<Record<string, Program>>;

export type ProgramName = keyof typeof PROGRAMS;

/** Where a built program lies. */
export function program(name: ProgramName): string {
  return join(OUT, name);
}

/** The pinned Kubernetes version, without the v. */
export function suiteVersion(): string {
  return pinned(MODULE, "k8s.io/kubernetes");
}

/** The version of a module that the go.mod of `folder` requires, without the v. */
export function pinned(folder: string, module: string): string {
  const goMod = readFileSync(join(folder, "go.mod"), "utf8");
  const words = goMod.split(/\s+/);
  const version = words[words.indexOf(module) + 1]?.replace(/^v/, "");
  if (version === undefined || !words.includes(module))
    throw new Error(`${folder}/go.mod requires no ${module}.`);
  return version;
}

/** Builds what is missing or was built of another go.mod: the first takes long, later none. */
export async function buildPrograms(names: readonly ProgramName[]): Promise<void> {
  mkdirSync(OUT, { recursive: true });
  const go = await runTool(["go", "version"]);
  if (go.exitCode !== 0) throw new Error("Go is missing. Install Go 1.26 or newer and try again.");
  for (const name of names) {
    const goMod = readFileSync(join(PROGRAMS[name].module, "go.mod"), "utf8");
    const stamp = join(OUT, `${name}.go.mod`);
    const isFresh = existsSync(stamp) && readFileSync(stamp, "utf8") === goMod;
    if (isFresh && existsSync(program(name))) continue;
    console.log(`Building ${name}`);
    await buildProgram(name);
    await Bun.write(stamp, goMod);
  }
}

async function buildProgram(name: ProgramName): Promise<void> {
  const { from, module, isTest }: Program = PROGRAMS[name];
  const version = suiteVersion();
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
  const verb = isTest === true ? ["test", "-c", "-vet=off"] : ["build"];
  const flags = ["-trimpath", "-p=2", "-ldflags", ["-s", "-w", ...sets].join(" ")];
  await mustRun(
    ["nice", "env", "CGO_ENABLED=0", "go", ...verb, ...flags, "-o", program(name), from],
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

/** Labels of tests that need a cloud, a driver, another operating system or a gate that is off. */
const SPECIAL =
  /\[(Conformance|Feature\w*:|Alpha|Beta|Deprecated|Disruptive|Driver:|Flaky|Serial|Slow|sig-cloud|sig-windows)/;
const SPECIAL_AREAS = /CSI Volumes|CSI Mock|In-tree Volumes/;

/**
 * The suite's tests beyond the conformance set that any cluster with default gates should pass, or
 * those of a feature that a cluster must be set up for: `IPv6DualStack`.
 */
export async function listBeyond(feature?: string): Promise<string[]> {
  const label = `[Feature:${feature}]`;
  const text = await mustRun([program("e2e.test"), "--list-tests"], "Remove build/conformance.");
  return text
    .split("\n")
    .map((line) => /^\s*\S+:\d+: (.+)$/.exec(line)?.[1] ?? "")
    .filter((name) => feature === undefined || name.includes(label))
    .filter((name) => !SPECIAL.test(name.replace(label, "")))
    .filter((name) => name !== "" && !SPECIAL_AREAS.test(name));
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
