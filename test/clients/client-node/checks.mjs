/**
 * Uses @kubernetes/client-node as programs do and prints one line of JSON for each thing tried:
 * {"name": ..., "problem": ...}. KUBECONFIG and IMAGE come from the environment.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import * as k8s from "@kubernetes/client-node";

const namespace = "client-node";
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const limitMs = 30_000;

function configMap(name, value) {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { value } };
}

function require(condition, what) {
  if (!condition) throw new Error(what);
}

async function until(what, holds) {
  const end = Date.now() + limitMs / 2;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What is written, as text. */
function collector() {
  const chunks = [];
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

const patched = (type) => k8s.setHeaderOptions("Content-Type", type);
const pod = (name, command) => ({
  metadata: { name },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "main", image: process.env.IMAGE, command }],
  },
});

async function createPod(name, command) {
  await until("the default account is there", () =>
    core.readNamespacedServiceAccount({ namespace, name: "default" }).then(
      () => true,
      () => false,
    ),
  );
  await core.createNamespacedPod({ namespace, body: pod(name, command) });
  await until(`${name} runs`, async () => {
    const { status } = await core.readNamespacedPod({ namespace, name });
    return status?.phase === "Running";
  });
}

/** Runs a command in the pod `busy`; resolves to its output and status. */
async function execute(command, input) {
  const [stdout, stderr] = [collector(), collector()];
  const stdin = input === undefined ? null : Readable.from([input]);
  const status = await new Promise((resolve, reject) => {
    new k8s.Exec(config)
      .exec(namespace, "busy", "main", command, stdout.stream, stderr.stream, stdin, false, resolve)
      .then((socket) => socket.on("close", (code) => reject(new Error(`it closed with ${code}`))))
      .catch(reject);
  });
  return { stdout: stdout.text(), stderr: stderr.text(), status };
}

const checks = {
  "an informer lists, follows and reconnects": async () => {
    const seen = { add: [], update: [], delete: [] };
    const list = () => core.listNamespacedConfigMap({ namespace });
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const informer = k8s.makeInformer(config, path, list);
    for (const verb of Object.keys(seen))
      informer.on(verb, ({ metadata }) => seen[verb].push(metadata.name));
    await core.createNamespacedConfigMap({ namespace, body: configMap("first", "1") });
    await informer.start();
    try {
      await core.createNamespacedConfigMap({ namespace, body: configMap("second", "1") });
      await core.replaceNamespacedConfigMap({
        namespace,
        name: "first",
        body: configMap("first", "2"),
      });
      await core.deleteNamespacedConfigMap({ namespace, name: "second" });
      await until("the delete is seen", () => seen.delete.includes("second"));
      require(seen.add.includes("first") && seen.add.includes("second"), "an add is missing");
      require(seen.update.includes("first"), "the update is missing");
      require(informer.get("first", namespace).data.value === "2", "the cache is old");
    } finally {
      await informer.stop();
    }
  },
  "watch from a revision, with bookmarks": async () => {
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    const events = [];
    const query = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true };
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const watch = new k8s.Watch(config);
    const controller = await watch.watch(
      path,
      query,
      (type, object) => events.push(`${type} ${object.metadata.name}`),
      () => {},
    );
    await core.createNamespacedConfigMap({ namespace, body: configMap("watched", "1") });
    await core.deleteNamespacedConfigMap({ namespace, name: "watched" });
    await until("two events", () => events.length >= 2);
    controller.abort();
    require(events.join() === "ADDED watched,DELETED watched", events.join());
  },
  "every type of patch": async () => {
    const name = "first";
    const merge = { namespace, name, body: { metadata: { labels: { a: "1" } } } };
    await core.patchNamespacedConfigMap(merge, patched(k8s.PatchStrategy.MergePatch));
    const json = [{ op: "add", path: "/metadata/labels/b", value: "2" }];
    await core.patchNamespacedConfigMap(
      { namespace, name, body: json },
      patched(k8s.PatchStrategy.JsonPatch),
    );
    const strategic = { namespace, name, body: { metadata: { labels: { a: null } } } };
    await core.patchNamespacedConfigMap(strategic, patched(k8s.PatchStrategy.StrategicMergePatch));
    const { metadata } = await core.readNamespacedConfigMap({ namespace, name });
    require(JSON.stringify(metadata.labels) === '{"b":"2"}', JSON.stringify(metadata.labels));
  },
  "server-side apply, its conflict and force": async () => {
    const apply = (manager, force, value) => {
      const body = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "ssa" },
        data: { value },
      };
      const request = { namespace, name: "ssa", body, fieldManager: manager, force };
      return core.patchNamespacedConfigMap(request, patched(k8s.PatchStrategy.ServerSideApply));
    };
    await apply("one", false, "1");
    const code = await apply("two", false, "2").then(
      () => 200,
      (error) => error.code,
    );
    require(code === 409, `the conflict is a ${code}`);
    const { data } = await apply("two", true, "2");
    require(data.value === "2", "force did nothing");
  },
  "objects of any kind, custom ones too": async () => {
    const definition = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "cogs.node.example.com" },
      spec: {
        group: "node.example.com",
        scope: "Namespaced",
        names: { plural: "cogs", singular: "cog", kind: "Cog" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: "object",
                properties: {
                  spec: { type: "object", properties: { teeth: { type: "integer" } } },
                },
              },
            },
          },
        ],
      },
    };
    await objects.create(definition);
    const cog = {
      apiVersion: "node.example.com/v1",
      kind: "Cog",
      metadata: { name: "a", namespace },
    };
    await until("the kind is served", () =>
      objects.create({ ...cog, spec: { teeth: 7 } }).then(
        () => true,
        () => false,
      ),
    );
    const change = { ...cog, spec: { teeth: 8 } };
    await objects.patch(
      change,
      undefined,
      undefined,
      undefined,
      undefined,
      k8s.PatchStrategy.MergePatch,
    );
    require((await objects.read(cog)).spec.teeth === 8, "the patch did nothing");
    const { items } = await objects.list("node.example.com/v1", "Cog", namespace);
    require(items.length === 1, `${items.length} are listed`);
    await objects.delete(cog);
  },
  "errors have codes and bodies": async () => {
    const error = await core
      .readNamespacedConfigMap({ namespace, name: "nothing" })
      .catch((e) => e);
    require(error.code === 404, `the code is ${error.code}`);
    require(JSON.parse(error.body).reason === "NotFound", error.body);
  },
  "a deployment comes up, is scaled and gone": async () => {
    const labels = { app: "scaled" };
    const template = { metadata: { labels }, ...pod("", ["sleep", "3600"]) };
    template.metadata = { labels };
    const body = {
      metadata: { name: "scaled" },
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    };
    await apps.createNamespacedDeployment({ namespace, body });
    const scale = { namespace, name: "scaled", body: { spec: { replicas: 2 } } };
    await apps.patchNamespacedDeploymentScale(scale, patched(k8s.PatchStrategy.MergePatch));
    await until("two are ready", async () => {
      const { status } = await apps.readNamespacedDeployment({ namespace, name: "scaled" });
      return status?.readyReplicas === 2;
    });
    await apps.deleteNamespacedDeployment({ namespace, name: "scaled" });
  },
  "log, whole and followed": async () => {
    await createPod("talker", ["sh", "-c", "echo one; sleep 1; echo two; sleep 3600"]);
    const { stream, text } = collector();
    const control = await new k8s.Log(config).log(namespace, "talker", "main", stream, {
      follow: true,
    });
    await until("both lines came", () => text() === "one\ntwo\n");
    control.abort();
    const whole = await core.readNamespacedPodLog({ namespace, name: "talker", tailLines: 1 });
    require(whole === "two\n", whole);
  },
  "exec with its output and the code at the end": async () => {
    await createPod("busy", ["sh", "-c", "cd / && exec httpd -f -p 8080 -h /etc"]);
    const { stdout, stderr, status } = await execute([
      "sh",
      "-c",
      "echo out; echo err >&2; exit 4",
    ]);
    require(stdout === "out\n" && stderr === "err\n", `${stdout} ${stderr}`);
    const code = status.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
    require(status.status === "Failure" && code === "4", JSON.stringify(status));
  },
  "exec whose input ends": async () => {
    const { stdout, status } = await execute(["cat"], "12345");
    require(stdout === "12345" && status.status === "Success", stdout);
  },
  attach: async () => {
    const body = pod("attached", ["sh", "-c", "read line; echo got $line; sleep 3600"]);
    body.spec.containers[0].stdin = true;
    await core.createNamespacedPod({ namespace, body });
    await until("it runs", async () => {
      const { status } = await core.readNamespacedPod({ namespace, name: "attached" });
      return status?.phase === "Running";
    });
    const { stream, text } = collector();
    const stdin = new PassThrough();
    const socket = await new k8s.Attach(config).attach(
      namespace,
      "attached",
      "main",
      stream,
      null,
      stdin,
      false,
    );
    stdin.write("hello\n");
    await until("the answer came", () => text().includes("got hello"));
    socket.close();
  },
  "port-forward": async () => {
    const forward = new k8s.PortForward(config);
    const server = createServer((socket) => {
      forward.portForward(namespace, "busy", [8080], socket, null, socket);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const socket = createConnection(server.address().port, "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.write("GET /hostname HTTP/1.0\r\n\r\n");
    await until("the page came", () => text.includes("busy"));
    socket.destroy();
    server.close();
  },
  // Its way back takes apart a compressed archive as if it were none, whatever the server.
  "cp to a pod": async () => {
    const dir = mkdtempSync(join(tmpdir(), "client-node-"));
    writeFileSync(join(dir, "file.txt"), "x".repeat(100_000));
    await new k8s.Cp(config).cpToPod(namespace, "busy", "main", dir, "/tmp");
    await until("it is there", async () => {
      const { stdout } = await execute(["sh", "-c", "wc -c </tmp/file.txt"]);
      return stdout.trim() === "100000";
    });
  },
  metrics: async () => {
    const metrics = new k8s.Metrics(config);
    await until("nodes have metrics", async () => {
      const { items } = await metrics.getNodeMetrics();
      return items.length === 1 && items[0].usage.cpu !== "";
    });
    await until("pods have metrics", async () => {
      const { items } = await metrics.getPodMetrics(namespace);
      return items.some(({ metadata }) => metadata.name === "busy");
    });
    const [node] = await k8s.topNodes(core);
    require(node.CPU.Capacity > 0, "the node has no capacity");
  },
  "health and version": async () => {
    const health = new k8s.Health(config);
    require(await health.readyz({}), "it is not ready");
    const { gitVersion } = await config.makeApiClient(k8s.VersionApi).getCode();
    require(gitVersion.startsWith("v1."), gitVersion);
  },
};

// Streams of the library fail outside of what its callers wait for.
let failed = () => {};
process.on("uncaughtException", (error) => failed(error));
await core.createNamespace({ body: { metadata: { name: namespace } } });
for (const [name, run] of Object.entries(checks)) {
  const late = new Promise((_, reject) => {
    failed = reject;
    setTimeout(() => reject(new Error("it took too long")), limitMs);
  });
  const problem = await Promise.race([run(), late]).then(
    () => undefined,
    (error) => String(error?.message ?? error),
  );
  console.log(JSON.stringify({ name, problem }));
}
process.exit(0);
