/** What containers are given: environment, files, hosts, resolvers. Seen from inside. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { localStorageCases } from "./local-storage-cases.ts";
import { apply, becomes, ended, field, lines, pod, printed, shell } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: pod configuration: ${skip}`);

const settings = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "settings" },
  data: { color: "blue", "not.a.shell-name": "kept" },
  binaryData: { blob: "AAH/" },
};
const keys = {
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "keys" },
  stringData: { password: "s3cret" },
};

const fieldRef = (fieldPath: string): object => ({ valueFrom: { fieldRef: { fieldPath } } });
const resourceRef = (resource: string, divisor: string): object => ({
  valueFrom: { resourceFieldRef: { resource, divisor } },
});

const environmentPod = pod(
  "environment",
  {
    serviceAccountName: "default",
    containers: [
      {
        ...shell("main", "env", {
          args: ["zero", "$(GREETING)", "$$(GREETING)", "$(UNKNOWN)"],
          resources: {
            requests: { cpu: "250m", memory: "32Mi" },
            limits: { cpu: "1500m", memory: "64Mi" },
          },
          envFrom: [
            { configMapRef: { name: "settings" }, prefix: "CM_" },
            { secretRef: { name: "keys" } },
            { configMapRef: { name: "absent", optional: true } },
          ],
          env: [
            { name: "NAME", value: "k3" },
            { name: "GREETING", value: "hello $(NAME) $$(NAME) $(LATER) $" },
            { name: "LATER", value: "later" },
            { name: "password", value: "own wins" },
            {
              name: "COLOR",
              valueFrom: { configMapKeyRef: { name: "settings", key: "color" } },
            },
            {
              name: "ABSENT",
              valueFrom: { secretKeyRef: { name: "keys", key: "absent", optional: true } },
            },
            { name: "POD", ...fieldRef("metadata.name") },
            { name: "NAMESPACE", ...fieldRef("metadata.namespace") },
            { name: "LABEL", ...fieldRef("metadata.labels['tier']") },
            { name: "NODE", ...fieldRef("spec.nodeName") },
            { name: "ACCOUNT", ...fieldRef("spec.serviceAccountName") },
            { name: "IP", ...fieldRef("status.podIP") },
            { name: "HOST_IP", ...fieldRef("status.hostIP") },
            { name: "CPU_LIMIT", ...resourceRef("limits.cpu", "1m") },
            { name: "CPUS", ...resourceRef("limits.cpu", "1") },
            { name: "MEMORY", ...resourceRef("requests.memory", "1Mi") },
          ],
        }),
        command: ["sh", "-c", 'env; echo "ARGS=$0|$1|$2|$3"'],
      },
    ],
  },
  { labels: { tier: "front" } },
);

const everySource = {
  sources: [
    { configMap: { name: "settings", items: [{ key: "color", path: "deep/er/color" }] } },
    { secret: { name: "keys", items: [{ key: "password", path: "password", mode: 0o400 }] } },
    { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
    { serviceAccountToken: { path: "token", audience: "tests", expirationSeconds: 600 } },
  ],
};

const filesScript = `
cd /files
echo "color=$(cat map/color)"
echo "blob=$(od -An -tx1 map/blob | tr -d ' ')"
echo "mapMode=$(stat -L -c %a map/color)"
echo "secret=$(cat secret/pw)"
echo "secretMode=$(stat -L -c %a secret/pw)"
echo "secretFs=$(stat -f -c %T secret)"
echo "deep=$(cat all/deep/er/color)"
echo "allMode=$(stat -L -c %a all/password)"
echo "name=$(cat all/name)"
echo "token=$(cut -d. -f2 all/token | tr _- /+ | base64 -d 2>/dev/null | grep -c '"aud":\\["tests"\\]')"
echo "notes=$(grep ^note= down/notes)"
echo "cpu=$(cat down/cpu)"
echo "memoryFs=$(stat -f -c %T memory)"
echo "memorySize=$(df -k memory | tail -1 | tr -s ' ' | cut -d' ' -f2)"
echo "emptyMode=$(stat -c %a empty)"
echo "sub=$(cat /one/color)"
echo made >/expr/made
echo "expr=$(cat empty/files/made)"
(echo x >/files/ro/x) 2>/dev/null && echo ro=writable || echo ro=refused
(echo x >/files/map/x) 2>/dev/null && echo mapWrite=writable || echo mapWrite=refused
echo "account=$(ls /var/run/secrets/kubernetes.io/serviceaccount | tr '\\n' ' ')"
echo "accountNamespace=$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)"
`;

const filesPod = pod(
  "files",
  {
    containers: [
      shell("main", filesScript, {
        env: [{ name: "POD", ...fieldRef("metadata.name") }],
        resources: { limits: { cpu: "500m" } },
        volumeMounts: [
          { name: "map", mountPath: "/files/map" },
          { name: "secret", mountPath: "/files/secret" },
          { name: "all", mountPath: "/files/all" },
          { name: "down", mountPath: "/files/down" },
          { name: "memory", mountPath: "/files/memory" },
          { name: "empty", mountPath: "/files/empty" },
          { name: "empty", mountPath: "/files/ro", readOnly: true },
          { name: "map", mountPath: "/one/color", subPath: "color" },
          { name: "empty", mountPath: "/expr", subPathExpr: "$(POD)" },
        ],
      }),
    ],
    volumes: [
      { name: "map", configMap: { name: "settings", defaultMode: 0o640 } },
      {
        name: "secret",
        secret: { secretName: "keys", items: [{ key: "password", path: "pw", mode: 0o440 }] },
      },
      { name: "all", projected: everySource },
      {
        name: "down",
        downwardAPI: {
          items: [
            { path: "notes", fieldRef: { fieldPath: "metadata.annotations" } },
            {
              path: "cpu",
              resourceFieldRef: { containerName: "main", resource: "limits.cpu", divisor: "1m" },
            },
          ],
        },
      },
      { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "8Mi" } },
      { name: "empty", emptyDir: {} },
    ],
  },
  { annotations: { note: 'a "quoted" note' } },
);

const namesPod = pod("names", {
  hostname: "given",
  subdomain: "sub",
  hostAliases: [{ ip: "192.0.2.7", hostnames: ["alias.one", "alias.two"] }],
  dnsConfig: {
    nameservers: ["192.0.2.53"],
    searches: ["example.org"],
    options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
  },
  containers: [shell("main", "hostname; hostname -f; cat /etc/hosts /etc/resolv.conf")],
});

const ownDnsPod = pod("own-dns", {
  dnsPolicy: "None",
  setHostnameAsFQDN: true,
  hostname: "full",
  subdomain: "sub",
  dnsConfig: { nameservers: ["192.0.2.1"], searches: ["only.example"] },
  containers: [shell("main", "hostname; cat /etc/resolv.conf")],
});

const livePod = pod(
  "live",
  {
    containers: [
      shell("main", "sleep 1000", {
        volumeMounts: [
          { name: "map", mountPath: "/map" },
          { name: "secret", mountPath: "/secret" },
          { name: "all", mountPath: "/all" },
          { name: "down", mountPath: "/down" },
        ],
      }),
    ],
    volumes: [
      { name: "map", configMap: { name: "changing" } },
      { name: "secret", secret: { secretName: "later", optional: true } },
      { name: "all", projected: { sources: [{ configMap: { name: "changing" } }] } },
      {
        name: "down",
        downwardAPI: {
          items: [{ path: "tier", fieldRef: { fieldPath: "metadata.labels['tier']" } }],
        },
      },
    ],
  },
  { labels: { tier: "one" } },
);

const changing = (data: Readonly<Record<string, string>>): Record<string, unknown> => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "changing" },
  data,
});

const waitingPod = pod("waiting", {
  containers: [
    shell("main", "echo $VALUE; cat /late/value", {
      env: [{ name: "VALUE", valueFrom: { configMapKeyRef: { name: "late", key: "value" } } }],
      volumeMounts: [{ name: "late", mountPath: "/late" }],
    }),
  ],
  volumes: [{ name: "late", configMap: { name: "late" } }],
});

const waitingEnvPod = pod("waiting-env", {
  containers: [
    shell("main", "echo $VALUE", {
      env: [{ name: "VALUE", valueFrom: { secretKeyRef: { name: "absent", key: "value" } } }],
    }),
  ],
});

describe.skipIf(skip !== undefined)("pod configuration", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    const first = [settings, keys, changing({ a: "1", gone: "soon" })];
    const pods = [environmentPod, filesPod, namesPod, ownDnsPod, livePod];
    await apply(cluster, ...first, ...pods, waitingPod, waitingEnvPod);
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  test("the environment comes from every source", async () => {
    await ended(cluster, "environment");
    const env = await printed(cluster, "environment");
    const wanted = {
      CM_color: "blue",
      "CM_not.a.shell-name": "kept",
      password: "own wins",
      GREETING: "hello k3 $(NAME) $(LATER) $",
      LATER: "later",
      COLOR: "blue",
      POD: "environment",
      NAMESPACE: "default",
      LABEL: "front",
      NODE: "k3-e2e",
      ACCOUNT: "default",
      CPU_LIMIT: "1500",
      CPUS: "2",
      MEMORY: "32",
      KUBERNETES_SERVICE_HOST: "10.43.0.1",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      KUBERNETES_PORT_443_TCP: "tcp://10.43.0.1:443",
      HOSTNAME: "environment",
      ARGS: "zero|hello k3 $(NAME) $(LATER) $|$(GREETING)|$(UNKNOWN)",
    };
    expect(Object.fromEntries(env)).toMatchObject(wanted);
    expect(env.has("ABSENT")).toBe(false);
    expect(env.get("IP")).toBe(await field(cluster, "environment", "{.status.podIP}"));
    expect(env.get("HOST_IP")).toBe(await field(cluster, "environment", "{.status.hostIP}"));
  });

  test("volumes hold what they are made of, with their modes", async () => {
    await ended(cluster, "files");
    expect(Object.fromEntries(await printed(cluster, "files"))).toMatchObject({
      color: "blue",
      blob: "0001ff",
      mapMode: "640",
      secret: "s3cret",
      secretMode: "440",
      secretFs: "tmpfs",
      deep: "blue",
      allMode: "400",
      name: "files",
      token: "1",
      notes: 'note="a \\"quoted\\" note"',
      cpu: "500",
      memoryFs: "tmpfs",
      memorySize: "8192",
      emptyMode: "777",
      sub: "blue",
      expr: "made",
      ro: "refused",
      mapWrite: "refused",
      account: "ca.crt namespace token ",
      accountNamespace: "default",
    });
  });

  test("host names, aliases and resolvers", async () => {
    await ended(cluster, "names", "own-dns");
    const said = await lines(cluster, "names");
    const ip = await field(cluster, "names", "{.status.podIP}");
    expect(said.slice(0, 2)).toEqual(["given", "given.sub.default.svc.cluster.local"]);
    expect(said).toContain(`${ip}\tgiven.sub.default.svc.cluster.local\tgiven`);
    expect(said).toContain("192.0.2.7\talias.one\talias.two");
    expect(said).toContain("nameserver 10.43.0.10");
    expect(said).toContain("nameserver 192.0.2.53");
    expect(said).toContain("options ndots:2 edns0");
    const search = said.find((line) => line.startsWith("search ")) ?? "";
    const own = "search default.svc.cluster.local svc.cluster.local cluster.local";
    expect(search.startsWith(own)).toBe(true);
    expect(search.endsWith(" example.org")).toBe(true);
    expect(await lines(cluster, "own-dns")).toEqual([
      "full.sub.default.svc.cluster.local",
      "search only.example",
      "nameserver 192.0.2.1",
    ]);
  });

  test("files follow the objects behind them", async () => {
    await becomes(cluster, "live", "{.status.phase}", "Running");
    const cat = async (path: string): Promise<string> =>
      (await cluster.kubectl(["exec", "live", "--", "cat", path])).stdout;
    expect(await cat("/map/a")).toBe("1");
    expect(await cat("/secret/k")).toBe("");
    const begun = Date.now();
    await apply(cluster, changing({ a: "2", added: "x" }), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "later" },
      stringData: { k: "v" },
    });
    const wanted = { "/map/a": "2", "/all/added": "x", "/secret/k": "v" };
    for (const [path, value] of Object.entries(wanted)) {
      await cluster.until(`${path} is ${value}`, async () => (await cat(path)) === value);
    }
    // Far below the minute of a periodic sync: changes are watched.
    expect(Date.now() - begun).toBeLessThan(10_000);
    await cluster.run("label pod live tier=two --overwrite");
    await cluster.until("the label is seen", async () => (await cat("/down/tier")) === "two");
    const left = await cluster.run("exec live -- ls /map");
    expect(left.trim().split("\n")).toEqual(["a", "added"]);
  });

  test("a pod waits for what it needs, and says what", async () => {
    const reason = "{.status.containerStatuses[0].state.waiting.reason}";
    await becomes(cluster, "waiting", reason, "ContainerCreating");
    await becomes(cluster, "waiting-env", reason, "CreateContainerConfigError");
    const message = "{.status.containerStatuses[0].state.waiting.message}";
    expect(await field(cluster, "waiting-env", message)).toBe('secret "absent" not found');
    await cluster.until("the missing volume is told", async () => {
      const events = await cluster.run("events --for pod/waiting --types=Warning");
      return /FailedMount .*MountVolume.SetUp failed for volume "late" : configmap "late" not found/.test(
        events,
      );
    });
    await apply(cluster, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "late" },
      data: { value: "arrived" },
    });
    await ended(cluster, "waiting");
    expect(await lines(cluster, "waiting")).toEqual(["arrived", "arrived"]);
  });

  localStorageCases(() => cluster);
});
