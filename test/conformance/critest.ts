/** The container runtime's own suite, critest, against k3's containerd as the kubelet uses it. */
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../scripts/apt.ts";
import { hostArch, layerOf } from "../../scripts/images.ts";
import { busyboxOf, folder, nginxAt, RECIPES, type Recipe, USERS } from "./image-recipes.ts";
import { buildArchive, SOURCES } from "./images.ts";
import type { TestResult } from "./report.ts";
import { pinned, program } from "./suite.ts";

const MODULE = join(import.meta.dir, "critest");
const SOCKET = "unix:///run/k3s/containerd/containerd.sock";

/** The version of cri-tools, without the v. */
export function critestVersion(): string {
  return pinned(MODULE, "sigs.k8s.io/cri-tools");
}

const known = (name: string): Recipe => {
  const recipe = RECIPES[name];
  if (recipe === undefined) throw new Error(`There is no recipe of ${name}.`);
  return recipe;
};
const ofUser =
  (user: string): Recipe =>
  (parts) => ({ ...known("busybox")(parts), user });
/** Differs from others by an empty folder of its name. */
const marked =
  (mark: string): Recipe =>
  (parts) => ({ below: [layerOf(parts.busybox)], files: [folder(mark)], command: ["sh"] });

const predefinedGroup: Recipe = (parts) => ({
  below: [layerOf(parts.busybox)],
  files: USERS,
  user: "1000",
  command: ["sh"],
});

/** `ls` is a file of its own, which a test masks. */
const busybox: Recipe = (parts) => ({
  below: [layerOf(parts.busybox)],
  files: [{ ...busyboxOf(parts), path: "bin/ls" }],
  command: ["sh"],
});

/** Another image than the sandboxes' own: a test removes it by its ID. */
const pause: Recipe = (parts) => ({ files: [parts.pause, folder("3.9")], entrypoint: ["/pause"] });

/** Where the tests' images would come from, out of their source. */
async function registries(): Promise<{ own: string; suite: string; pauses: string[] }> {
  const module = await mustRun(
    ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/cri-tools"],
    "Run scripts/critest where the module can be fetched first.",
    { cwd: MODULE },
  );
  const read = (path: string): string => readFileSync(join(module.trim(), "pkg", path), "utf8");
  const constants = read("validate/consts.go");
  const own = /registry = "(.+)\/"/.exec(constants)?.[1];
  const suite = /DefaultRegistryPrefix = "(.+)"/.exec(read("framework/test_context.go"))?.[1];
  if (own === undefined || suite === undefined) throw new Error("critest names its images anew.");
  const pauses = [...constants.matchAll(/"(\S+\/pause:[\d.]+)"/g)].map(([, name = ""]) => name);
  return { own, suite: `${suite}/e2e-test-images`, pauses };
}

/** What the tests ask for, by full name. */
async function wantedImages(): Promise<[string, Recipe][]> {
  const users = { uid: "1002", username: "www-data", "uid-group": "1003:1004" };
  const tests = ["1", "2", "3", "latest"].map((name) => `test-image-${name}`);
  const images: [string, Recipe][] = [
    ...Object.entries({ ...users, "username-group": "www-data:1004" }).map(
      ([name, user]): [string, Recipe] => [`test-image-user-${name}:latest`, ofUser(user)],
    ),
    ["test-image-predefined-group:latest", predefinedGroup],
    ...tests.map((name): [string, Recipe] => [`${name}:latest`, marked(name)]),
    ...["test", "all"].map((tag): [string, Recipe] => [`test-image-tag:${tag}`, marked(tag)]),
    ...["1", "2", "3"].map((tag): [string, Recipe] => [`test-image-tags:${tag}`, marked("tags")]),
    [`hostnet-nginx-${hostArch()}:latest`, nginxAt(12003)],
  ];
  const { own, suite, pauses } = await registries();
  return [
    ...images.map(([name, recipe]): [string, Recipe] => [`${own}/${name}`, recipe]),
    [`${suite}/busybox:1.29-2`, busybox],
    [`${suite}/nginx:1.14-2`, known("nginx")],
    [`${suite}/httpd:2.4.39-4`, known("httpd")],
    [`${suite}/nonewprivs:1.3`, known("nonewprivs")],
    ...pauses.map((name): [string, Recipe] => [name, pause]),
  ];
}

/** Builds the archive of the images; answers its path. */
export async function buildCritestImages(): Promise<string> {
  const recipes = [...SOURCES, "critest.ts"];
  return await buildArchive(`critest-${critestVersion()}`, recipes, wantedImages);
}

/** Runs the suite, or what matches `focus`; resolves with the path of ginkgo's report. */
export async function runCritest(dir: string, focus: string | undefined): Promise<string> {
  const log = openSync(join(dir, "critest.log"), "w");
  const report = join(dir, "critest.json");
  const child = Bun.spawn(
    [
      program("critest"),
      `-runtime-endpoint=${SOCKET}`,
      `-image-endpoint=${SOCKET}`,
      "-ginkgo.no-color",
      "-ginkgo.v",
      `-ginkgo.json-report=${report}`,
      ...(focus === undefined ? [] : [`-ginkgo.focus=${focus}`]),
    ],
    { stdout: log, stderr: log, stdin: "ignore", cwd: dir },
  );
  await child.exited;
  return report;
}

/** docs/critest.md: the score, and what does not pass with its first words. */
export function renderCritest(results: readonly TestResult[]): string {
  const of = (outcome: TestResult["outcome"]): readonly TestResult[] =>
    results.filter((one) => one.outcome === outcome);
  const ran = results.length - of("skipped").length;
  const list = (title: string, some: readonly TestResult[]): string[] =>
    some.length === 0
      ? []
      : ["", `## ${title}`, "", ...some.map(({ name, error = "" }) => `- ${name}<br>\`${error}\``)];
  const lines = [
    "# The container runtime",
    "",
    `The score of cri-tools' critest v${critestVersion()}, unmodified, against containerd as k3 configures it. Written by`,
    "`scripts/critest --record`; see [test/conformance](../test/conformance/README.md).",
    "",
    `${of("passed").length} of ${ran} tests pass; ${of("skipped").length} more say that this machine is not for them.`,
    ...list("Failing", of("failed")),
    ...list("Skipped", of("skipped")),
  ];
  return `${lines.join("\n")}\n`;
}
