/** Small pods for the tests of the node agent, and what they left behind. */
import type { PodStatus } from "../../src/gen/core-v1.ts";
import { type Cluster, testImage } from "./cluster.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A container of the test image that runs a shell script. */
export function shell(name: string, script: string, more: Fields = {}): Fields {
  return { name, image: testImage, command: ["sh", "-c", script], ...more };
}

/** A pod that runs once, unless `spec` says otherwise; `metadata` adds labels and the like. */
export function pod(name: string, spec: Fields, metadata: Fields = {}): Fields {
  const base = { restartPolicy: "Never", terminationGracePeriodSeconds: 1 };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...metadata },
    spec: { ...base, ...spec },
  };
}

/** Applies all objects in one call. */
export async function apply(cluster: Cluster, ...items: readonly Fields[]): Promise<void> {
  const documents = items.map((item) => JSON.stringify(item));
  await cluster.run("apply -f -", documents.join("\n---\n"));
}

/** Waits until every pod has ended well; one that failed is told with its last words. */
export async function ended(cluster: Cluster, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await cluster.until(`pod ${name} has ended`, async () => {
      const phase = await field(cluster, name, "{.status.phase}");
      if (phase !== "Failed") return phase === "Succeeded";
      const said = await cluster.kubectl(["logs", name, "--all-containers"]);
      throw new Error(`Pod ${name} failed: ${said.stdout}${said.stderr}`);
    });
  }
}

/** A JSONPath of a pod. */
export async function field(cluster: Cluster, name: string, path: string): Promise<string> {
  return await cluster.run(["get", "pod", name, "-o", `jsonpath=${path}`]);
}

/** Waits until a JSONPath of the pod has the value; tells the last one seen when it never does. */
export async function becomes(
  cluster: Cluster,
  name: string,
  path: string,
  wanted: string | RegExp,
): Promise<void> {
  let value = "";
  const isThere = async (): Promise<boolean> => {
    value = await field(cluster, name, path);
    return typeof wanted === "string" ? value === wanted : wanted.test(value);
  };
  try {
    await cluster.until(`${path} of pod ${name} is ${wanted}`, isThere);
  } catch (error) {
    throw new Error(`Pod ${name} has ${path} ${value}, not ${wanted}`, { cause: error });
  }
}

/** What the pod printed, line by line. */
export async function lines(cluster: Cluster, name: string): Promise<readonly string[]> {
  return (await cluster.run(["logs", name])).trimEnd().split("\n");
}

/** `key=value` lines that the pod printed. */
export async function printed(cluster: Cluster, name: string): Promise<Map<string, string>> {
  return new Map(
    (await lines(cluster, name)).map((line): [string, string] => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}

/** The whole status of a pod. */
export async function statusOf(cluster: Cluster, name: string): Promise<PodStatus> {
  const answer: { status: PodStatus } = JSON.parse(await cluster.run(`get pod ${name} -o json`));
  return answer.status;
}

/** What was told about a pod: a line of reason and message for each event. */
export async function events(cluster: Cluster, name: string): Promise<string> {
  return await cluster.run([
    "get",
    "events",
    `--field-selector=involvedObject.name=${name}`,
    "-o",
    'jsonpath={range .items[*]}{.reason}{": "}{.message}{"\\n"}{end}',
  ]);
}
