/** What is wrong with pods, field by field, in upstream's words. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { serverUser } from "../api/pipeline.ts";
import { pods, podTemplates } from "../client/resources.ts";
import type { Container, Pod, PodSpec } from "../gen/core-v1.ts";
import { ApiError } from "../lib/api-error.ts";
import { openWorld, problemsOf, type World } from "./test-world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

let count = 0;
function pod(spec: Partial<PodSpec>, container: Partial<Container> = {}): Pod {
  count += 1;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${count}`, namespace: "default" },
    spec: { containers: [{ name: "c", image: "i", ...container }], ...spec },
  };
}

const ofSpec: readonly (readonly [string, Partial<PodSpec>, ...string[]])[] = [
  ["nothing wrong", {}],
  [
    "host aliases",
    { hostAliases: [{ ip: "nope", hostnames: ["ok", "Not_ok"] }] },
    'spec.hostAliases[0].ip: Invalid value: "nope": must be a valid IP address, (e.g. 10.9.8.7 ' +
      "or " +
      "2001:db8::ffff)",
    'spec.hostAliases[0].hostnames[1]: Invalid value: "Not_ok": a lowercase RFC 1123 subdomain ' +
      "must " +
      "consist of lower case alphanumeric characters, '-' or '.', and must start and end with an " +
      "alphanumeric character (e.g. 'example.com', regex used for validation is " +
      "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  ],
  [
    "sysctls",
    {
      securityContext: {
        sysctls: [
          { name: "foo-", value: "1" },
          { name: "kernel.shmmax", value: "1" },
          { name: "kernel.shmmax", value: "2" },
        ],
      },
    },
    'spec.securityContext.sysctls[0].name: Invalid value: "foo-": must have at most 253 ' +
      "characters " +
      "and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
    'spec.securityContext.sysctls[2].name: Duplicate value: "kernel.shmmax"',
  ],
  [
    "identities",
    { securityContext: { runAsUser: -1, fsGroup: 2147483648, supplementalGroups: [1, -2] } },
    "spec.securityContext.fsGroup: Invalid value: 2147483648: must be between 0 and 2147483647, " +
      "inclusive",
    "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, " +
      "inclusive",
    "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and " +
      "2147483647, inclusive",
  ],
  [
    "profiles",
    {
      securityContext: {
        seccompProfile: { type: "Localhost", localhostProfile: "/abs" },
        appArmorProfile: { type: "Odd" },
      },
    },
    'spec.securityContext.seccompProfile.localhostProfile: Invalid value: "/abs": must be a ' +
      "relative path",
    'spec.securityContext.appArmorProfile.type: Unsupported value: "Odd": supported values: ' +
      '"Localhost", "RuntimeDefault", "Unconfined"',
  ],
  [
    "node affinity",
    {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: "a", operator: "In" }] },
              { matchFields: [{ key: "spec.x", operator: "In", values: ["y"] }] },
            ],
          },
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 101, preference: { matchExpressions: [{ key: "a", operator: "Near" }] } },
          ],
        },
      },
    },
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution." +
      "nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when " +
      "`operator` is 'In' or 'NotIn'",
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution." +
      'nodeSelectorTerms[1].matchFields[0].key: Invalid value: "spec.x": not a valid field ' +
      "selector key",
    "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: " +
      "Invalid value: 101: must be in the range 1-100",
    "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference." +
      'matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
  ],
  [
    "pod affinity and spread",
    {
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { labelSelector: { matchLabels: { a: "b" } }, topologyKey: "", namespaces: ["X"] },
          ],
        },
      },
      topologySpreadConstraints: [
        { maxSkew: 0, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway", minDomains: 2 },
      ],
    },
    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespace: " +
      'Invalid value: "X": a lowercase RFC 1123 label must consist of lower case alphanumeric ' +
      "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', " +
      " " +
      "or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]." +
      "topologyKey: Required value: can not be empty",
    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]." +
      'topologyKey: Invalid value: "": name part must be non-empty',
    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]." +
      "topologyKey: Invalid value: \"\": name part must consist of alphanumeric characters, '-', " +
      "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or " +
      "'my.name',  or '123-abc', regex used for validation is " +
      "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if " +
      "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
  ],
  [
    "name servers",
    { dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1", "x"], options: [{ name: "" }] } },
    'spec.dnsConfig.nameservers[1]: Invalid value: "x": must be a valid IP address, (e.g. ' +
      "10.9.8.7 " +
      "or 2001:db8::ffff)",
    "spec.dnsConfig.options[0]: Required value: must not be empty",
  ],
  [
    "gates",
    { schedulingGates: [{ name: "a/b" }, { name: "a/b" }], nodeName: "n" },
    'spec.schedulingGates[1]: Duplicate value: "a/b"',
    "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
  ],
  [
    "users of its own beside the host's network",
    { hostUsers: false, hostPID: true },
    "spec.HostPID: Forbidden: when `hostUsers` is false",
  ],
  [
    "downward files and projected paths",
    {
      volumes: [
        { name: "d", downwardAPI: { items: [{ path: "../x" }] } },
        {
          name: "p",
          projected: {
            sources: [
              { configMap: { name: "a", items: [{ key: "k", path: "same" }] } },
              { secret: { name: "b", items: [{ key: "k", path: "same" }] } },
            ],
          },
        },
      ],
    },
    "spec.volumes[0].downwardAPI.path: Invalid value: \"../x\": must not contain '..'",
    "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
    'spec.volumes[1].projected: Invalid value: "same": conflicting duplicate paths',
  ],
];

const ofContainer: readonly (readonly [string, Partial<Container>, ...string[]])[] = [
  [
    "environment",
    {
      env: [
        { name: "A=B", value: "x" },
        { name: "F", valueFrom: { fieldRef: { fieldPath: "spec.nope" } } },
        { name: "R", valueFrom: { resourceFieldRef: { resource: "limits.disk" } } },
        { name: "N", valueFrom: {} },
        {
          name: "C",
          value: "x",
          valueFrom: { configMapKeyRef: { name: "m", key: "k" } },
        },
      ],
    },
    'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name ' +
      "must consist only of printable ASCII characters other than '='",
    'spec.containers[0].env[1].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error ' +
      "converting fieldPath: field label not supported: spec.nope",
    "spec.containers[0].env[2].valueFrom.resourceFieldRef.resource: Unsupported value: " +
      '"limits.disk": supported values: "limits.cpu", "limits.ephemeral-storage", ' +
      '"limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"',
    'spec.containers[0].env[3].valueFrom: Invalid value: "": must specify one of: `fieldRef`, ' +
      "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    'spec.containers[0].env[4].valueFrom: Invalid value: "": may not be specified when `value` ' +
      "is " +
      "not empty",
  ],
  [
    "environment from objects",
    { envFrom: [{ configMapRef: { name: "m" }, secretRef: { name: "s" } }, {}] },
    'spec.containers[0].envFrom: Invalid value: "": may not have more than one field specified ' +
      "at " +
      "a time",
    'spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or ' +
      "`secretRef`",
  ],
  [
    "mounts",
    { volumeMounts: [{ name: "gone", mountPath: "/a", mountPropagation: "Bidirectional" }] },
    'spec.containers[0].volumeMounts[0].name: Not found: "gone"',
    "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount " +
      "propagation " +
      "is available only to privileged containers",
  ],
  [
    "resizing and restarting",
    {
      resizePolicy: [{ resourceName: "disk", restartPolicy: "NotRequired" }],
      restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "Near", values: [1] } }],
    },
    'spec.containers[0].resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"',
    "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart " +
      "rules are used",
    'spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Near": ' +
      'supported values: "In", "NotIn"',
  ],
  [
    "white space around the image",
    { image: " i" },
    'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace',
  ],
];

describe("pods", () => {
  for (const [what, spec, ...expected] of ofSpec) {
    test(`are judged by their spec: ${what}`, async () => {
      expect(await problemsOf(world, pods, pod(spec))).toEqual([...expected]);
    });
  }
  for (const [what, container, ...expected] of ofContainer) {
    test(`are judged by their containers: ${what}`, async () => {
      expect(await problemsOf(world, pods, pod({}, container))).toEqual([...expected]);
    });
  }
});

describe("a pod that exists", () => {
  const causes = async (work: Promise<unknown>): Promise<readonly string[]> => {
    const error: unknown = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof ApiError)) return [];
    return (error.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
  };
  const change = (name: string, patch: unknown, subresource = "") =>
    causes(
      world.client.patch(pods, "default", name, "strategic", patch, {
        ...(subresource && { subresource }),
      }),
    );

  test("waiting at a gate may be told more narrowly where to go", async () => {
    const made = pod({ schedulingGates: [{ name: "a/b" }], nodeSelector: { disk: "ssd" } });
    await world.client.create(pods, made);
    const name = made.metadata.name ?? "";
    expect(await change(name, { spec: { nodeSelector: { disk: "hdd" } } })).toEqual([
      'spec.nodeSelector: Invalid value: {"disk":"hdd"}: only additions to spec.nodeSelector are ' +
        "allowed (no mutations or deletions)",
    ]);
    expect(await change(name, { spec: { nodeSelector: { zone: "a" } } })).toEqual([]);
    expect(await change(name, { spec: { schedulingGates: [{ name: "c/d" }] } })).toEqual([
      "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new " +
        "scheduling gate 'c/d'",
    ]);
  });

  test("is judged again as a whole when it changes", async () => {
    const made = pod({});
    await world.client.create(pods, made);
    const containers = [{ name: "c", image: "" }];
    expect(await change(made.metadata.name ?? "", { spec: { containers } })).toEqual([
      "spec.containers[0].image: Required value",
    ]);
  });

  test("is resized in cpu and memory alone, and keeps its class of service", async () => {
    const made = pod({}, { resources: { requests: { cpu: "100m" }, limits: { cpu: "1" } } });
    await world.client.create(pods, made);
    const name = made.metadata.name ?? "";
    const resources = (requests: object, limits: object) => ({
      spec: { containers: [{ name: "c", resources: { requests, limits } }] },
    });
    expect(await change(name, resources({ cpu: "200m" }, { cpu: "1" }), "resize")).toEqual([]);
    const now = await world.client.get(pods, "default", name);
    expect(now.spec.containers[0]?.resources?.requests).toEqual({ cpu: "200m" });
    expect(now.metadata.generation).toBe(2);
    expect(await change(name, resources({ cpu: null }, { cpu: null }), "resize")).toEqual([
      'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
      "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
      "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
    ]);
    const disk = resources({ "ephemeral-storage": "1Gi" }, {});
    expect(await change(name, disk, "resize")).toEqual([
      "spec: Forbidden: only cpu and memory resources are mutable",
    ]);
  });

  test("takes ephemeral containers, which stay as they are", async () => {
    const made = pod({});
    await world.client.create(pods, made);
    const name = made.metadata.name ?? "";
    const add = (container: object) =>
      change(name, { spec: { ephemeralContainers: [container] } }, "ephemeralcontainers");
    expect(await add({ name: "c", image: "i", ports: [{ containerPort: 1 }] })).toEqual([
      'spec.ephemeralContainers[0].name: Duplicate value: "c"',
      "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    ]);
    expect(await add({ name: "d", image: "i", targetContainerName: "x" })).toEqual([
      'spec.ephemeralContainers[0].targetContainerName: Not found: "x"',
    ]);
    expect(await add({ name: "d", image: "i" })).toEqual([]);
    expect(await add({ name: "d", image: "j" })).toEqual([
      'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be changed\n',
    ]);
  });
});

test("what is hardly meant is warned about", async () => {
  const warningsOf = async (object: Pod): Promise<readonly string[]> => {
    const answer = await world.pipeline.handle({
      verb: "create",
      resource: pods,
      subresource: "",
      namespace: "default",
      name: "",
      rest: "",
      method: "POST",
      query: new URLSearchParams(),
      accept: "",
      userAgent: "",
      user: serverUser,
      body: object,
      contentType: "application/json",
      signal: new AbortController().signal,
    });
    return answer.warnings ?? [];
  };
  const odd = pod(
    {
      nodeSelector: { "beta.kubernetes.io/os": "linux" },
      terminationGracePeriodSeconds: -1,
      imagePullSecrets: [{ name: "a" }, { name: "a" }],
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway" },
      ],
    },
    {
      env: [
        { name: "A", value: "1" },
        { name: "A", value: "2" },
        { name: "A", value: "$(A):3" },
      ],
      ports: [{ containerPort: 80, name: "web" }, { containerPort: 80 }],
      resources: { limits: { memory: "1500m" } },
    },
  );
  odd.metadata.name = "with.dots";
  expect(await warningsOf(odd)).toEqual([
    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; " +
      "a DNS label is recommended: [must not contain dots]",
    'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" ' +
      "instead",
    "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching " +
      "no pod",
    'spec.imagePullSecrets[1].name: duplicate name "a"',
    'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must ' +
      "be an integer",
    'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is invalid, ' +
      "must be an integer",
    'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when ' +
      "using apply",
    "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
    "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be " +
      "treated as 1",
  ]);
  expect(await warningsOf(pod({}))).toEqual([]);
});

test("what stands behind gates that are off is taken away", async () => {
  const preStop = { exec: { command: ["true"] } };
  const stopSignal = "SIGUSR1";
  const sources = [{ podCertificate: { signerName: "a.b/c", keyType: "ED25519" } }];
  const spec = {
    containers: [
      { name: "a", image: "i", lifecycle: { stopSignal } },
      { name: "b", image: "i", lifecycle: { stopSignal, preStop } },
    ],
    volumes: [{ name: "v", projected: { sources } }],
  } as unknown as PodSpec;
  const metadata = { name: "gated", namespace: "default" };
  const pod = await world.client.create(pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
  const template = await world.client.create(podTemplates, {
    apiVersion: "v1",
    kind: "PodTemplate",
    metadata,
    template: { metadata: {}, spec },
  });
  for (const made of [pod.spec, template.template?.spec]) {
    expect(made?.containers.map(({ lifecycle }) => lifecycle)).toEqual([undefined, { preStop }]);
    expect(made?.volumes?.[0]?.projected?.sources).toEqual([{}]);
  }
});

test("resources are judged by their names, pages and claims", async () => {
  const container = {
    name: "a",
    image: "i",
    resources: {
      limits: { "hugepages-2Mi": "3Mi", "a.example/gpu": "500m", odd: "1" },
      claims: [{ name: "x" }, { name: "x" }, { name: "y", request: "A" }, { name: "y" }],
    },
  };
  const spec = {
    containers: [container],
    resources: { limits: { "ephemeral-storage": "1Gi" }, claims: [] },
    resourceClaims: [{ name: "x", resourceClaimName: "c" }],
  };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "r", namespace: "default" },
    spec,
  };
  const at = "spec.containers[0].resources";
  const unknown = "must be one of the names in pod.spec.resourceClaims: x";
  // Limits are the requests too where there are none.
  const problems = (await problemsOf(world, pods, pod)).filter((one) => !/requests/.test(one));
  expect(problems).toEqual([
    `${at}.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of ` +
      "hugepages-2Mi",
    `${at}.limits[a.example/gpu]: Invalid value: "500m": must be an integer`,
    `${at}.limits[odd]: Invalid value: "odd": must be a standard resource type or fully qualified`,
    `${at}.limits[odd]: Invalid value: "odd": must be a standard resource for containers`,
    `${at}: Forbidden: HugePages require cpu or memory`,
    `${at}.claims[1]: Duplicate value: "x"`,
    expect.stringContaining(`${at}.claims[2].request: Invalid value: "A"`),
    `${at}.claims[2]: Not found: "y": ${unknown}`,
    `${at}.claims[3]: Duplicate value: "y"`,
    `${at}.claims[3]: Not found: "y": ${unknown}`,
    'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported ' +
      'values: "cpu", "hugepages-", "memory"',
  ]);
});
