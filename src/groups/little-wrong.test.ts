/** Objects that are a little wrong, and what upstream's own server says of each. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Answer, type Ask, askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
let ask: (method: string, path: string, more?: Ask) => Promise<Answer>;
beforeAll(async () => {
  world = await openWorld();
  ask = askOf(sendTo(world));
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const core = "/api/v1/namespaces/default";
const apps = "/apis/apps/v1/namespaces/default";
const jobs = "/apis/batch/v1/namespaces/default/jobs";
const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const apply = "application/apply-patch+yaml";
const merge = "application/merge-patch+json";
const strategic = "application/strategic-merge-patch+json";

type Spec = Readonly<Record<string, unknown>>;

/** The message about a new object of that spec, from its first field on. */
async function told(path: string, spec: Spec, metadata: object = {}): Promise<string> {
  const body = { metadata: { name: "wrong", ...metadata }, spec };
  const answer = await ask("POST", `${path}?dryRun=All`, { body });
  return String(answer.message ?? "").replace(/^.* is invalid: /, "");
}

const selector = { matchLabels: { app: "a" } };
const container = { name: "a", image: "a" };
const template = (more: Spec = {}, labels: object = { app: "a" }): object => ({
  metadata: { labels },
  spec: { containers: [container], ...more },
});

describe("workloads", () => {
  test("a deadline is forbidden in each kind's own name", async () => {
    const spec = { selector, template: template({ activeDeadlineSeconds: 1 }) };
    for (const [plural, kind] of [
      ["daemonsets", "DaemonSet"],
      ["statefulsets", "StatefulSet"],
      ["deployments", "ReplicaSet"],
    ]) {
      const at = "spec.template.spec.activeDeadlineSeconds";
      const detail = `activeDeadlineSeconds in ${kind} is not Supported`;
      expect(await told(`${apps}/${plural}`, spec)).toBe(`${at}: Forbidden: ${detail}`);
    }
  });

  test("the template is judged only where the selector can be used", async () => {
    const spec = {
      selector: { matchLabels: { app: "*" } },
      template: template({ containers: [] }),
    };
    for (const [plural, detail] of Object.entries({
      replicasets: ": invalid label selector",
      statefulsets: "",
    })) {
      const message = await told(`${apps}/${plural}`, spec);
      expect(message).toEndWith(`}}${detail}]`);
      expect(message).not.toContain("spec.template");
    }
    expect(await told(`${apps}/replicasets`, { selector: {}, template: template() })).toBe(
      "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    );
  });

  test("ephemeral containers are no part of a template, and judged all the same", async () => {
    const ephemeralContainers = [{ name: "A", image: "a", ports: [{ containerPort: 1 }] }];
    const message = await told(`${apps}/deployments`, {
      selector,
      template: template({ ephemeralContainers }),
    });
    const at = "spec.template.spec.ephemeralContainers";
    expect(message).toContain(`${at}[0].name: Invalid value: "A"`);
    expect(message).toContain(
      `${at}[0].ports: Forbidden: cannot be set for an Ephemeral Container`,
    );
    expect(message).toContain(`${at}: Forbidden: ephemeral containers not allowed in pod template`);
  });

  test("a job without labels has its template's, the generated ones included", async () => {
    const spec = { template: template({ restartPolicy: "Never" }, {}) };
    const made = await ask("POST", jobs, { body: { metadata: { name: "labelled" }, spec } });
    const uid = made.metadata.uid ?? "";
    expect(made.metadata.labels).toEqual({
      "batch.kubernetes.io/controller-uid": uid,
      "batch.kubernetes.io/job-name": "labelled",
      "controller-uid": uid,
      "job-name": "labelled",
    });
    const own = { metadata: { name: "own", labels: { a: "b" } }, spec };
    expect((await ask("POST", jobs, { body: own })).metadata.labels).toEqual({ a: "b" });
  });

  test("who looks after a job has a domain and a path", async () => {
    const spec = { template: template({ restartPolicy: "Never" }, {}) };
    const cases = {
      web: 'Invalid value: "web": must be a domain-prefixed path (such as "acme.io/foo")',
      "": "Required value",
    };
    for (const [managedBy, detail] of Object.entries(cases))
      expect(await told(jobs, { ...spec, managedBy })).toBe(`spec.managedBy: ${detail}`);
  });
});

describe("pods", () => {
  const subdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters";

  test.each<[string, Spec, string]>([
    [
      "names of what variables read",
      {
        containers: [
          { ...container, env: [{ name: "A", valueFrom: { secretKeyRef: { key: "k" } } }] },
        ],
      },
      `spec.containers[0].env[0].valueFrom.secretKeyRef.name: Invalid value: "": ${subdomain}`,
    ],
    [
      "search paths",
      { dnsConfig: { searches: ["A"] } },
      `spec.dnsConfig.searches[0]: Invalid value: "A": ${subdomain}, '_', '-' or '.'`,
    ],
    [
      "limits below zero, whose volumes nobody can mount",
      {
        containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v" }] }],
        volumes: [{ name: "v", emptyDir: { sizeLimit: "-1" } }],
      },
      "[spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource " +
        'quantity, spec.containers[0].volumeMounts[0].name: Not found: "v"]',
    ],
    [
      "files of variables on volumes that do not last",
      {
        containers: [
          {
            ...container,
            env: [
              {
                name: "A",
                valueFrom: { fileKeyRef: { key: "k", path: "p", volumeName: "v" } },
              },
            ],
          },
        ],
        volumes: [{ name: "v", hostPath: { path: "/v" } }],
      },
      "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: " +
        '"v": referenced volume must be of type emptyDir',
    ],
    [
      "devices without a volume",
      { containers: [{ ...container, volumeDevices: [{}] }] },
      "[spec.containers[0].volumeDevices[0].name: Required value, " +
        'spec.containers[0].volumeDevices[0].name: Not found: "", ' +
        "spec.containers[0].volumeDevices[0].devicePath: Required value]",
    ],
    [
      "sources of volumes",
      { volumes: [{ name: "v", fc: {} }] },
      "spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, " +
        "but not both",
    ],
  ])("%s", async (_, spec, start) => {
    expect(await told(`${core}/pods`, { containers: [container], ...spec })).toStartWith(start);
  });
});

test("what is odd about files and ports is a warning", async () => {
  const items = [
    { key: "a", path: "b" },
    { key: "c", path: "b/d" },
  ];
  const spec = {
    containers: [{ ...container, ports: [{ containerPort: 81, hostIP: "10.0.0.1" }] }],
    volumes: [
      { name: "v", configMap: { name: "c", items } },
      { name: "w", projected: { sources: [{}, { secret: { name: "s", items } }] } },
    ],
  };
  const body = { metadata: { name: "odd" }, spec };
  const { warnings } = await ask("POST", `${core}/pods?dryRun=All`, { body });
  for (const text of [
    'volume \\"v\\" (ConfigMap \\"c\\"): overlapping paths: \\"b/d\\" with \\"b\\"',
    'volume \\"w\\" (Projected) has no sources provided',
    '\\"b/d\\" (Secret \\"s\\") with \\"b\\" (Secret \\"s\\")',
    "ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP " +
      "HostIP:10.0.0.1}",
  ])
    expect(warnings).toContain(text);
});

test("a volume's node labels may get their present names, and no others", async () => {
  const volumes = "/api/v1/persistentvolumes";
  const affinity = (key: string): object => {
    const matchExpressions = [{ key, operator: "In", values: ["a"] }];
    return { required: { nodeSelectorTerms: [{ matchExpressions }] } };
  };
  const spec = {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "1Gi" },
    hostPath: { path: "/a" },
    nodeAffinity: affinity("beta.kubernetes.io/os"),
  };
  await ask("POST", volumes, { body: { metadata: { name: "labelled" }, spec } });
  const change = (key: string): Promise<Answer> => {
    const body = { spec: { nodeAffinity: affinity(key) } };
    return ask("PATCH", `${volumes}/labelled?dryRun=All`, { body, type: merge });
  };
  expect((await change("kubernetes.io/os")).message).toBeUndefined();
  expect((await change("kubernetes.io/arch")).message).toContain("nodeAffinity: Invalid value");
});

describe("volumes", () => {
  const volume = {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "1Gi" },
    hostPath: { path: "/a" },
  };

  test.each<[object, string]>([
    [{ hostPath: { path: "../up" } }, `spec.hostPath.path: Invalid value: "../up": must not`],
    [{ hostPath: { path: "/a", type: "x" } }, `spec.hostPath.type: Unsupported value: "x"`],
    [{ csi: {} }, "spec.csi: Forbidden: may not specify more than 1 volume type"],
    [
      { hostPath: undefined, rbd: {} },
      "[spec.rbd.monitors: Required value, spec.rbd.image: Required value]",
    ],
    [{ hostPath: undefined, gcePersistentDisk: { pdName: "a", partition: 256 } }, "spec.persist"],
  ])("%j", async (more, start) => {
    expect(await told("/api/v1/persistentvolumes", { ...volume, ...more })).toStartWith(start);
  });

  test("within an attachment", async () => {
    const inlineVolumeSpec = { ...volume, claimRef: { name: "a" } };
    const spec = { attacher: "a.b", nodeName: "n", source: { inlineVolumeSpec } };
    const at = "spec.source.inlineVolumeSpec";
    const inline = "in the context of inline volumes";
    const message = await told("/apis/storage.k8s.io/v1/volumeattachments", spec);
    expect(message).toStartWith(
      `[${at}.claimRef: Forbidden: may not be specified ${inline}, ` +
        `${at}.capacity: Forbidden: may not be specified ${inline}, ` +
        `${at}.csi: Required value: has to be specified ${inline}`,
    );
  });
});

describe("metadata", () => {
  test("what only the server writes is refused, all of it at once", async () => {
    await ask("POST", `${core}/configmaps`, { body: { metadata: { name: "kept" } } });
    const body = { metadata: { uid: "other", deletionGracePeriodSeconds: 1 } };
    const path = `${core}/configmaps/kept?dryRun=All`;
    const { message } = await ask("PATCH", path, { body, type: merge });
    expect(message).toEndWith(
      '[metadata.uid: Invalid value: "other": field is immutable, ' +
        "metadata.deletionGracePeriodSeconds: Invalid value: 1: field is immutable]",
    );
  });

  test("a generated name that is wrong is told once", async () => {
    const metadata = { name: "", generateName: "-bad-" };
    expect(await told("/api/v1/namespaces", {}, metadata)).not.toContain("metadata.labels");
  });

  test("labels of core events are judged", async () => {
    const involvedObject = { namespace: "default" };
    const body = { metadata: { name: "e", labels: { a: "*" } }, involvedObject };
    const answer = await ask("POST", `${core}/events`, { body });
    expect(answer.message).toContain('metadata.labels: Invalid value: "*"');
  });

  test("signers have a domain of two labels and a path", async () => {
    const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    const dots = "should be a domain with at least two segments separated by dots";
    expect(await told(path, { signerName: "a/b" })).toContain(`Invalid value: "a": ${dots}`);
    expect(await told(path, { signerName: "../up" })).toContain(
      'Invalid value: "..": validating label "": a lowercase RFC 1123 label',
    );
  });
});

describe("what cannot be read", () => {
  const read = async (path: string, body: object): Promise<string> => {
    const answer = await ask("POST", `${path}?dryRun=All`, { body });
    return String(answer.message ?? "none").replace(/^.*cannot be handled as a \w+: /, "");
  };

  test("a reader's own error counts more than an earlier misfit", async () => {
    const spec = { leaseTransitions: 4294967296, renewTime: "/path" };
    expect(await read(leases, { metadata: { name: "l" }, spec })).toStartWith("parsing time");
    const labels = { a: {} };
    const ports = [{ port: 1, targetPort: [] }];
    expect(
      await read(`${core}/services`, { metadata: { name: "s", labels }, spec: { ports } }),
    ).toBe(
      "json: cannot unmarshal array into Go struct field ServicePort.spec.ports.targetPort of " +
        "type int32",
    );
  });

  test("times are quoted byte by byte, and small ones have six digits", async () => {
    const layout = "2006-01-02T15:04:05.000000Z07:00";
    const bytes = String.raw`"\xc3\xbcn\xc3\xaf"`;
    const whole = "2026-01-02T03:04:05Z";
    const cases = {
      ünï: `${bytes} as "${layout}": cannot parse ${bytes} as "2006"`,
      [whole]: `"${whole}" as "${layout}": cannot parse "Z" as ".000000"`,
    };
    for (const [renewTime, why] of Object.entries(cases))
      expect(await read(leases, { metadata: { name: "l" }, spec: { renewTime } })).toBe(
        `parsing time ${why}`,
      );
  });

  test("bytes may be a list of numbers", async () => {
    const secret = { metadata: { name: "s" }, data: { a: [104, 105] } };
    const made = (await ask("POST", `${core}/secrets?dryRun=All`, { body: secret })) as unknown;
    expect(made).toMatchObject({ data: { a: "aGk=" } });
    expect(await read(`${core}/secrets`, { metadata: { name: "s" }, data: { a: ["a"] } })).toBe(
      "json: cannot unmarshal string into Go struct field Secret.data of type uint8",
    );
  });

  test("a strategic patch asks readers without JSON around them", async () => {
    await ask("POST", `${core}/secrets`, { body: { metadata: { name: "patched" } } });
    const patched = async (body: object): Promise<string> =>
      (await ask("PATCH", `${core}/secrets/patched`, { body, type: strategic })).message ?? "";
    expect(await patched({ data: { a: "?" } })).toEndWith(
      "error decoding from json: illegal base64 data at input byte 0",
    );
    const metadata = { creationTimestamp: true };
    expect(await patched({ metadata })).toEndWith(
      "json: cannot unmarshal bool into Go value of type string",
    );
  });
});

test("an applied item without its key has the key's zero value", async () => {
  const spec = { selector, template: template() };
  const body = { metadata: { name: "d" }, spec };
  await ask("POST", `${apps}/daemonsets`, { body });
  const ports = [{ hostPort: 1 }];
  const applied = await ask("PATCH", `${apps}/daemonsets/d?fieldManager=m&force=true`, {
    type: apply,
    body: {
      apiVersion: "apps/v1",
      kind: "DaemonSet",
      spec: { template: { spec: { containers: [{ name: "a", ports }] } } },
    },
  });
  expect(applied.message).toEndWith("ports[0].containerPort: Required value");
});

describe("pods' doors", () => {
  test("an eviction and a binding name the pod that they are about", async () => {
    const pod = { metadata: { name: "named" }, spec: { containers: [container] } };
    await ask("POST", `${core}/pods`, { body: pod });
    for (const [door, kind] of [
      ["eviction", "Eviction"],
      ["binding", "Binding"],
    ])
      for (const body of [{}, { metadata: { name: "other" } }]) {
        const { code, message } = await ask("POST", `${core}/pods/named/${door}`, { body });
        const why = `name in URL does not match name in ${kind} object`;
        expect([code, message]).toEqual([400, why]);
      }
    expect((await ask("GET", `${core}/pods/named`)).kind).toBe("Pod");
  });

  test("the address of a pod is the first of its list", async () => {
    const body = { status: { podIP: "10.1.1.1" } };
    const path = `${core}/pods/named/status`;
    const { status } = await ask("PATCH", path, { body, type: merge });
    expect(status).toMatchObject({ podIPs: [{ ip: "10.1.1.1" }] });
  });
});

test("a dash alone begins no name", async () => {
  const body = { metadata: { generateName: "-" } };
  const { message } = await ask("POST", `${core}/configmaps?dryRun=All`, { body });
  expect(message).toContain('metadata.generateName: Invalid value: "-"');
});
