/** controller-runtime's own tests: k3 is the kube-apiserver and etcd that they start. */
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../../scripts/apt.ts";
import { binary } from "../../e2e/cluster.ts";
import {
  goBuild,
  moduleFolder,
  OUT,
  pinnedVersion,
  type Result,
  runProgram,
  type Suite,
} from "../suite.ts";

const module = "sigs.k8s.io/controller-runtime";
const version = await pinnedVersion(module);
/** Packages whose tests start a control plane, below `pkg`. */
const packages = [
  "builder",
  "cache",
  "client",
  "client/apiutil",
  "client/config",
  "cluster",
  "controller",
  "envtest",
  "internal/recorder",
  "internal/testing/controlplane",
  "manager",
  "source",
  "webhook",
] as const;

const out = join(OUT, "envtest");
const source = join(out, "source");
const assets = join(out, "assets");
const limitSeconds = 600;

function programOf(name: string): string {
  return join(out, `${name.replaceAll("/", "-")}.test`);
}

async function prepare(): Promise<void> {
  mkdirSync(out, { recursive: true });
  for (const name of packages) {
    const target = programOf(name);
    const path = `${module}/pkg/${name}`;
    await goBuild(target, version, ["test", "-c", "-vet=off", "-o", target, path]);
  }
  // The tests read and run files of theirs, which the module cache keeps read-only.
  if (!existsSync(source)) {
    cpSync(await moduleFolder(module, version), source, { recursive: true });
    await mustRun(["chmod", "-R", "u+rwx", source], "Remove the folder and try again.");
  }
}

async function run(dir: string, only: string): Promise<readonly Result[]> {
  rmSync(assets, { recursive: true, force: true });
  mkdirSync(assets, { recursive: true });
  for (const name of ["etcd", "kube-apiserver", "kubectl"]) symlinkSync(binary, join(assets, name));
  const results: Result[] = [];
  for (const name of packages.filter((one) => one.includes(only))) {
    console.log(`Running ${name}`);
    results.push(...(await runPackage(dir, name)));
  }
  return results;
}

interface Spec {
  readonly LeafNodeType: string;
  readonly State: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly Failure?: { readonly Message?: string };
}

/** Ginkgo's specs from its report, and plain Go tests from the output. */
async function runPackage(dir: string, name: string): Promise<readonly Result[]> {
  const base = join(dir, name.replaceAll("/", "-"));
  const report = `${base}.json`;
  const flags = ["-test.v", "--ginkgo.no-color", `--ginkgo.json-report=${report}`];
  const { stdout, stderr } = await runProgram(
    ["timeout", String(limitSeconds), "nice", programOf(name), ...flags],
    { cwd: join(source, "pkg", name), env: { KUBEBUILDER_ASSETS: assets } },
  );
  await Bun.write(`${base}.log`, stdout + stderr);
  const suites = existsSync(report)
    ? ((await Bun.file(report).json()) as readonly { SpecReports: readonly Spec[] | null }[])
    : [];
  const specs = suites
    .flatMap(({ SpecReports }) => SpecReports ?? [])
    .filter(({ LeafNodeType, State }) => LeafNodeType === "It" && !/pending|skipped/.test(State))
    .map((spec) => ({
      name: [name, ...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" / "),
      problem: spec.State === "passed" ? undefined : (spec.Failure?.Message ?? spec.State),
    }));
  const plain = [...stdout.matchAll(/^--- (PASS|FAIL): (\S+)/gm)]
    // The one that runs the specs says nothing more than these.
    .filter(
      ([, , test]) => specs.length === 0 || !/^Test(Source|Client|\w*Suite|Api)/.test(test ?? ""),
    )
    .map(([, state, test]) => ({
      name: `${name} / ${test}`,
      problem: state === "PASS" ? undefined : `see ${name.replaceAll("/", "-")}.log`,
    }));
  const all = [...specs, ...plain];
  return all.length > 0 ? all : [{ name, problem: "it ran no test" }];
}

export const suite: Suite = { title: `tests of controller-runtime ${version}`, prepare, run };
