/** Helm 4 and Helm 3, built from their modules, with a chart of ours on a node of ours. */
import { join } from "node:path";
import { Cluster } from "../../e2e/cluster.ts";
import {
  goBuild,
  mustSucceed,
  OUT,
  type Outcome,
  type Result,
  runProgram,
  runSteps,
  type Step,
  type Suite,
} from "../suite.ts";

/** The newest releases that speak Kubernetes 1.36. */
const versions = { v4: "v4.2.4", v3: "v3.21.4" } as const;
type Major = keyof typeof versions;

const chart = join(import.meta.dir, "chart");

function require(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

class Release {
  readonly name = "shop";
  readonly #namespace: string;

  constructor(
    private readonly major: Major,
    private readonly cluster: Cluster,
  ) {
    this.#namespace = `helm-${major}`;
  }

  #argv(args: readonly string[]): readonly string[] {
    const place = [`--namespace=${this.#namespace}`, `--kubeconfig=${this.cluster.kubeconfig}`];
    return [join(OUT, `helm-${this.major}/helm`), ...args, ...place];
  }

  helm(...args: readonly string[]): Promise<string> {
    return mustSucceed(this.#argv(args), { env: this.#env() });
  }

  tried(...args: readonly string[]): Promise<Outcome> {
    return runProgram(this.#argv(args), { env: this.#env() });
  }

  /** Nothing of the user's own settings, plugins and caches. */
  #env(): Record<string, string> {
    return { HELM_CACHE_HOME: join(OUT, "helm-home"), HELM_CONFIG_HOME: join(OUT, "helm-home") };
  }

  async read(what: string, path: string): Promise<string> {
    const words = ["get", ...what.split(" "), "-n", this.#namespace, "-o", `jsonpath=${path}`];
    return await this.cluster.run(words);
  }

  /** Versions of all that the release owns: they stay when nothing changes. */
  async versions(): Promise<string> {
    const kinds =
      "deploy,svc,cm,secret,sa,role,rolebinding,widget -l app.kubernetes.io/managed-by=Helm";
    const path = "{range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}";
    // The status of a Deployment moves by itself.
    const deployment = await this.read("deploy shop", "{.metadata.generation}");
    const all = await this.read(kinds, path);
    return `${all.replace(/Deployment\/\S+ /, "")}${deployment}`;
  }

  steps(): readonly Step[] {
    const { name } = this;
    const step = (text: string, run: () => Promise<void>): Step => [`${this.major}: ${text}`, run];
    return [
      step("install --wait with a CRD and hooks", async () => {
        const text = await this.helm(
          "install",
          name,
          chart,
          "--create-namespace",
          "--wait",
          "--timeout=120s",
        );
        require(text.includes("The shop says hello."), `notes are missing: ${text}`);
        require((await this.read("deploy shop", "{.status.readyReplicas}")) ===
          "1", "no pod is ready");
        require((await this.read("widget shop", "{.spec.size}")) === "3", "no default of the CRD");
      }),
      step("hooks ran, and are deleted by their policy", async () => {
        const jobs = await this.read("jobs", "{.items[*].metadata.name}");
        require(jobs === "shop-before", `jobs are ${jobs}`);
      }),
      step("list, status, history, get", async () => {
        const [release] = JSON.parse(await this.helm("list", "-o", "json"));
        require(release?.status === "deployed", `list tells ${JSON.stringify(release)}`);
        const status = JSON.parse(await this.helm("status", name, "-o", "json"));
        require(status.info.status === "deployed", "status is not deployed");
        require((await this.helm("get", "manifest", name)).includes("kind: Widget"), "no manifest");
        require((await this.helm("get", "hooks", name)).includes("shop-before"), "no hooks");
        require((await this.helm("get", "values", name, "--all")).includes(
          "greeting: hello",
        ), "no values");
        require(JSON.parse(await this.helm("history", name, "-o", "json")).length ===
          1, "no history");
      }),
      step("install refuses what is there already", async () => {
        const again = await this.tried("install", name, chart);
        require(again.code !== 0 && /in use/.test(again.stderr), again.stderr);
        const other = await this.tried("install", "other", chart, "--set", "x=1", "--replace");
        require(other.code === 0, `a second release: ${other.stderr}`);
        await this.helm("uninstall", "other", "--wait");
      }),
      step("upgrade --dry-run=server shows and changes nothing; lookup finds", async () => {
        const before = await this.versions();
        const text = await this.helm(
          "upgrade",
          name,
          chart,
          "--set=greeting=bye",
          "--dry-run=server",
        );
        require(text.includes('greeting: "bye"'), "the change is not shown");
        const key = await this.read("secret shop-key", "{.data.key}");
        require(text.includes(key), "lookup did not find the secret");
        require((await this.versions()) === before, "something changed");
      }),
      step("an upgrade without a change is none", async () => {
        const before = await this.versions();
        await this.helm("upgrade", name, chart, "--wait", "--timeout=120s");
        require((await this.versions()) === before, `${before} became ${await this.versions()}`);
      }),
      step("upgrade --wait", async () => {
        await this.helm(
          "upgrade",
          name,
          chart,
          "--set=greeting=bye,replicas=2",
          "--wait",
          "--timeout=120s",
        );
        require((await this.read("deploy shop", "{.status.readyReplicas}")) ===
          "2", "not two pods");
        require((await this.read("cm shop-config", "{.data.greeting}")) ===
          "bye", "not the new text");
      }),
      step("test", async () => {
        const text = await this.helm("test", name, "--timeout=60s");
        require(/Phase:\s+Succeeded/.test(text), text);
      }),
      step("upgrade puts right what others changed", async () => {
        await this.cluster.run(["-n", this.#namespace, "scale", "deploy/shop", "--replicas=1"]);
        const force = this.major === "v4" ? ["--force-conflicts"] : [];
        const set = "--set=greeting=bye,replicas=3";
        await this.helm("upgrade", name, chart, set, "--wait", "--timeout=120s", ...force);
        require((await this.read("deploy shop", "{.spec.replicas}")) === "3", "it is as it was");
      }),
      step("rollback --wait", async () => {
        const force = this.major === "v4" ? ["--force-conflicts"] : [];
        await this.helm("rollback", name, "1", "--wait", "--timeout=120s", ...force);
        require((await this.read("cm shop-config", "{.data.greeting}")) ===
          "hello", "not the old text");
        require((await this.read("deploy shop", "{.status.readyReplicas}")) === "1", "not one pod");
        const history = JSON.parse(await this.helm("history", name, "-o", "json"));
        require(/Rollback to 1/i.test(history.at(-1)?.description), JSON.stringify(history.at(-1)));
      }),
      step("a failing hook fails the upgrade, which is taken back", async () => {
        const flag = this.major === "v4" ? "--rollback-on-failure" : "--atomic";
        const result = await this.tried(
          "upgrade",
          name,
          chart,
          "--set=failingHook=true",
          flag,
          "--timeout=60s",
        );
        require(result.code !== 0, "the upgrade did not fail");
        const status = JSON.parse(await this.helm("status", name, "-o", "json"));
        require(status.info.status === "deployed", `the status is ${status.info.status}`);
      }),
      step("what the server refuses fails, with its words", async () => {
        const result = await this.tried("upgrade", name, chart, "--set=replicas=-1");
        require(result.code !== 0 &&
          /must be greater than or equal to 0/.test(result.stderr), result.stderr);
        await this.helm("rollback", name, "--wait", "--timeout=120s");
      }),
      step("objects of others are not taken over unasked", async () => {
        await this.cluster.run(["-n", this.#namespace, "create", "cm", "mine-config"]);
        const refused = await this.tried("install", "mine", chart);
        require(/cannot be imported|conflict|exists/.test(refused.stderr), refused.stderr);
        await this.helm("upgrade", "--install", "mine", chart, "--take-ownership");
        await this.helm("uninstall", "mine", "--wait", "--timeout=60s");
      }),
      step("uninstall --wait leaves the CRD and nothing else", async () => {
        await this.helm("uninstall", name, "--wait", "--timeout=60s");
        const left = await this.read(
          "deploy,rs,svc,widget,secret,cm,sa,role",
          "{.items[*].metadata.name}",
        );
        require(left === "kube-root-ca.crt default", `left is ${left}`);
        await this.cluster.run("get crd widgets.shop.example.com");
      }),
    ];
  }
}

async function prepare(): Promise<void> {
  for (const [major, version] of Object.entries(versions)) {
    const bin = join(OUT, `helm-${major}`);
    const source = `helm.sh/helm/${major}/cmd/helm@${version}`;
    await goBuild(join(bin, "helm"), version, ["install", "-trimpath", source], { GOBIN: bin });
  }
}

async function run(_dir: string, only: string): Promise<readonly Result[]> {
  const cluster = new Cluster();
  try {
    await cluster.start();
    const majors: readonly Major[] = ["v4", "v3"];
    const steps = majors.flatMap((major) => new Release(major, cluster).steps());
    return await runSteps(steps, only);
  } finally {
    await cluster.destroy();
  }
}

export const suite: Suite = {
  title: `Helm ${Object.values(versions).join(" and ")}`,
  prepare,
  run,
};
