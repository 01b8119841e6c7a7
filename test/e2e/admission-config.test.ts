/** Admission plugins as `admission-control-config-file` configures them, with the real binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, Cluster, reasonToSkip } from "./cluster.ts";
import { freePort } from "./free-port.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: configured admission: ${skip}`);

const enabled = [
  "EventRateLimit",
  "ImagePolicyWebhook",
  "OwnerReferencesPermissionEnforcement",
  "PodNodeSelector",
  "PodTolerationRestriction",
];

const configHead = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n";

function configText(images: string): string {
  return `${configHead}plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest, warn: restricted}
    exemptions: {namespaces: [free]}
- name: EventRateLimit
  path: limits/events.yaml
- name: ImagePolicyWebhook
  configuration:
    imagePolicy: {kubeConfigFile: ${images}, allowTTL: 60, denyTTL: 60, defaultAllow: false}
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: "zone=a", held: "zone=b,disk=ssd"}
- name: PodTolerationRestriction
  configuration:
    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
    kind: Configuration
    default: [{key: given, operator: Exists}]
    whitelist:
    - {key: given, operator: Exists}
    - {key: ok, operator: Exists}
    - {key: node.kubernetes.io/not-ready, operator: Exists}
    - {key: node.kubernetes.io/unreachable, operator: Exists}
    - {key: node.kubernetes.io/memory-pressure, operator: Exists}
`;
}

/** Two at once, and one more each second, of what one source says. */
const limitsText = `
apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits: [{type: SourceAndObject, qps: 1, burst: 2}]
`;

interface ImageReview {
  readonly kind: string;
  readonly apiVersion: string;
  readonly spec: {
    readonly containers: readonly { readonly image: string }[];
    readonly annotations?: Readonly<Record<string, string>>;
    readonly namespace: string;
  };
}

interface PodParts {
  readonly metadata?: object;
  readonly spec?: object;
  readonly image?: string;
}

describe.skipIf(skip !== undefined)("configured admission", () => {
  const reviews: ImageReview[] = [];
  const images = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: judgeImages });
  let cluster: Cluster;
  const file = (name: string) => join(cluster.dataDir, name);

  async function judgeImages(request: Request): Promise<Response> {
    const review = (await request.json()) as ImageReview;
    reviews.push(review);
    const isBad = review.spec.containers.some(({ image }) => image === "bad:1");
    if (review.spec.containers.some(({ image }) => image === "broken:1"))
      return new Response("no", { status: 400 });
    const status = isBad ? { allowed: false, reason: "it is bad" } : { allowed: true };
    return Response.json({ kind: review.kind, apiVersion: review.apiVersion, status });
  }

  beforeAll(async () => {
    cluster = new Cluster();
    const webhook = {
      "current-context": "it",
      contexts: [{ name: "it", context: { cluster: "it" } }],
      clusters: [{ name: "it", cluster: { server: images.url.href } }],
    };
    mkdirSync(file("limits"));
    writeFileSync(file("images.kubeconfig"), JSON.stringify(webhook));
    writeFileSync(file("limits/events.yaml"), limitsText);
    writeFileSync(file("admission.yaml"), configText(file("images.kubeconfig")));
    await cluster.startWithoutAgent(
      `--kube-apiserver-arg=admission-control-config-file=${file("admission.yaml")}`,
      `--kube-apiserver-arg=enable-admission-plugins=${enabled.join(",")}`,
    );
    const annotations = { "scheduler.alpha.kubernetes.io/node-selector": "zone=b" };
    for (const metadata of [{ name: "free" }, { name: "held", annotations }])
      await cluster.run("create -f -", JSON.stringify({ ...v1("Namespace"), metadata }));
    await cluster.until("every namespace has an account", async () => {
      const names = await cluster.run("get serviceaccounts -A --no-headers");
      return ["default", "free", "held"].every((one) => names.includes(`${one} `));
    });
  }, 60_000);
  afterAll(async () => {
    await cluster.destroy();
    await images.stop(true);
  });

  const v1 = (kind: string) => ({ apiVersion: "v1", kind });

  function createPod(name: string, namespace: string, parts: PodParts = {}) {
    const { metadata = {}, spec = {}, image = "app:1" } = parts;
    const pod = {
      ...v1("Pod"),
      metadata: { name, namespace, ...metadata },
      spec: { containers: [{ name: "c", image }], ...spec },
    };
    return cluster.kubectl("create -o json -f -", JSON.stringify(pod));
  }

  /** What is refused: no object, and the words of the plugin. */
  async function expectRefusal(created: ReturnType<typeof createPod>, words: string) {
    const { code, stdout, stderr } = await created;
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(words);
  }

  test("PodSecurity holds to the default, warns, and leaves out who is exempt", async () => {
    const spec = { hostNetwork: true };
    const violates = 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)';
    await expectRefusal(createPod("host", "default", { spec }), violates);
    const free = await createPod("host", "free", { spec });
    expect([free.code, free.stderr]).toEqual([0, ""]);
    const warned = await createPod("mild", "default");
    expect(warned.code).toBe(0);
    expect(warned.stderr).toContain('Warning: would violate PodSecurity "restricted:latest"');
    await cluster.run("label namespace held pod-security.kubernetes.io/enforce=restricted");
    await expectRefusal(createPod("strict", "held"), 'violates PodSecurity "restricted:latest"');
    await cluster.run("label namespace held pod-security.kubernetes.io/enforce-");
  });

  test("EventRateLimit refuses what one source says too often, and nobody else", async () => {
    const list = (name: string) => ({
      ...v1("List"),
      items: Array.from({ length: 12 }, (_, index) => ({
        ...v1("Event"),
        metadata: { name: `${name}-${index}`, namespace: "default" },
        involvedObject: { ...v1("Pod"), name, namespace: "default" },
        source: { component: "test" },
      })),
    });
    const many = await cluster.kubectl("create -f -", JSON.stringify(list("loud")));
    expect(many.code).toBe(1);
    expect(many.stdout).toContain("loud-1 created");
    const key = "testPoddefaultloudv1";
    expect(many.stderr).toContain(`limit reached on type SourceAndObject for key ${key}`);
    const [calm] = list("calm").items;
    await cluster.run("create -f -", JSON.stringify(calm));
    const later = JSON.stringify({
      ...list("loud").items[0],
      metadata: { name: "later", namespace: "default" },
    });
    await cluster.until("there is room again", async () => {
      return (await cluster.kubectl("create -f -", later)).code === 0;
    });
  });

  test("ImagePolicyWebhook runs what another server allows, and remembers it", async () => {
    const told = { "a.image-policy.k8s.io/why": "x", other: "y" };
    const asked = (image: string) =>
      reviews.filter(({ spec }) => spec.containers.some((one) => one.image === image));
    const parts = { image: "asked:1", metadata: { annotations: told } };
    for (const name of ["one", "two"]) expect((await createPod(name, "free", parts)).code).toBe(0);
    expect(asked("asked:1")).toHaveLength(1);
    expect(asked("asked:1")[0]).toMatchObject({
      apiVersion: "imagepolicy.k8s.io/v1alpha1",
      kind: "ImageReview",
      spec: { annotations: { "a.image-policy.k8s.io/why": "x" }, namespace: "free" },
    });
    const denied = "image policy webhook backend denied one or more images: it is bad";
    await expectRefusal(createPod("bad", "free", { image: "bad:1" }), denied);
    await expectRefusal(createPod("broken", "free", { image: "broken:1" }), "forbidden");
    await cluster.run("run swap --image=app:1 -n free");
    const swapped = await cluster.kubectl("set image pod/swap swap=bad:1 -n free");
    expect(swapped.stderr).toContain(denied);
  });

  test("PodNodeSelector sends pods where their namespace wants them", async () => {
    const selectorOf = async (created: ReturnType<typeof createPod>) => {
      const { stdout, stderr } = await created;
      return stdout === "" ? stderr : JSON.parse(stdout).spec.nodeSelector;
    };
    const near = createPod("near", "free", { spec: { nodeSelector: { x: "y" } } });
    expect(await selectorOf(near)).toEqual({ zone: "a", x: "y" });
    const fast = createPod("fast", "held", { spec: { nodeSelector: { disk: "ssd" } } });
    expect(await selectorOf(fast)).toEqual({ zone: "b", disk: "ssd" });
    const slow = createPod("slow", "held", { spec: { nodeSelector: { disk: "hdd" } } });
    const outside = "pod node label selector labels conflict with its namespace whitelist";
    await expectRefusal(slow, outside);
    const far = createPod("far", "free", { spec: { nodeSelector: { zone: "c" } } });
    await expectRefusal(
      far,
      "pod node label selector conflicts with its namespace node label selector",
    );
  });

  test("PodTolerationRestriction gives tolerations and takes no others", async () => {
    const exists = (key: string) => ({ key, operator: "Exists" });
    const made = await createPod("given", "free", { spec: { tolerations: [exists("ok")] } });
    const { tolerations } = JSON.parse(made.stdout).spec;
    expect(tolerations).toContainEqual(exists("given"));
    expect(tolerations).toContainEqual(exists("ok"));
    const other = createPod("other", "free", { spec: { tolerations: [exists("other")] } });
    await expectRefusal(other, "pod tolerations (possibly merged with namespace default toler");
  });

  test("OwnerReferencesPermissionEnforcement takes the rights that an owner takes", async () => {
    await cluster.run("create clusterrole writer --verb=create,get,patch --resource=configmaps");
    await cluster.run("create clusterrolebinding writer --clusterrole=writer --user=jane");
    await cluster.run("create configmap owner");
    const uid = await cluster.run("get configmap owner -o jsonpath={.metadata.uid}");
    const owner = { ...v1("ConfigMap"), name: "owner", uid };
    const owned = (name: string, blockOwnerDeletion: boolean) =>
      JSON.stringify({
        ...v1("ConfigMap"),
        metadata: { name, ownerReferences: [{ ...owner, blockOwnerDeletion }] },
      });
    await cluster.run("create --as=jane -f -", owned("soft", false));
    const hard = cluster.kubectl("create --as=jane -f -", owned("hard", true));
    const keeps =
      "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set " +
      "finalizers on";
    await expectRefusal(hard, keeps);
    await cluster.run("create --as=jane configmap later");
    const metadata = { ownerReferences: [{ ...owner, blockOwnerDeletion: false }] };
    const patch = ["patch", "configmap", "later", "--as=jane", "-p", JSON.stringify({ metadata })];
    const deletes = "cannot set an ownerRef on a resource you can't delete";
    await expectRefusal(cluster.kubectl(patch), deletes);
    await cluster.run("create -f -", owned("free", true));
  });

  test.each([
    ["no file", undefined, "no such file or directory"],
    ["no such kind", "kind: Other", 'no kind "Other" is registered'],
    ["a strange member", `${configHead}plugins: [{name: A, colour: red}]`, "plugins[0].colour"],
    [
      "a plugin's own error",
      `${configHead}plugins: [{name: PodSecurity, configuration: {defaults: {enforce: most}, ` +
        "apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration}}]",
      'defaults.enforce: Invalid value: "most": must be one of privileged, baseline, restricted',
    ],
  ])("k3 does not start with %s", async (name, text, why) => {
    const path = file(`${name.replaceAll(" ", "-")}.yaml`);
    if (text !== undefined) writeFileSync(path, text);
    const argv = [
      binary,
      "server",
      "--disable-agent",
      `--data-dir=${file(`of-${name.replaceAll(" ", "-")}`)}`,
      `--https-listen-port=${freePort()}`,
      `--write-kubeconfig=${file("bad.kubeconfig")}`,
      `--kube-apiserver-arg=admission-control-config-file=${path}`,
    ];
    const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const told = Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect(await child.exited).toBe(1);
    const said = (await told).join("");
    expect(said).toContain(why);
    expect(said).not.toMatch(/^ +at /m);
  });
});
