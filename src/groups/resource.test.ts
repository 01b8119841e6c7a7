/** What resource.k8s.io accepts, in the words of upstream's validation. */
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

const group = "/apis/resource.k8s.io/v1";
const claims = `${group}/namespaces/default/resourceclaims`;
const slices = `${group}/resourceslices`;
const merge = "application/merge-patch+json";

type Fields = Readonly<Record<string, unknown>>;
const exactly = (more: Fields = {}) => ({ deviceClassName: "c", ...more });
const request = (name: string, more: Fields = {}) => ({ name, exactly: exactly(more) });
const claim = (...requests: readonly unknown[]) => ({ devices: { requests } });
const device = (more: Fields = {}) => ({ name: "d", ...more });
const slice = (...devices: readonly unknown[]) => ({
  driver: "example.com",
  nodeName: "n",
  pool: { name: "p", generation: 1, resourceSliceCount: 1 },
  devices,
});

/** The messages of the causes, without the name of the object. */
async function problems(path: string, spec: unknown): Promise<string[]> {
  const body = { metadata: { generateName: "judged-" }, spec };
  const answer = await ask("POST", `${path}?dryRun=All`, { body });
  if (answer.code === 201) return [];
  expect(answer.code).toBe(422);
  const causes = answer.details.causes as readonly { field: string; message: string }[];
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

const requests = "spec.devices.requests";
const either = "exactly one of `exactly` or `firstAvailable` is required";
const reference =
  "must be the name of a request in the claim or the name of a request and a subrequest " +
  "separated by '/'";

describe("claims", () => {
  test.each([
    [claim(request("a"), request("a")), [`${requests}[1]: Duplicate value: "a"`]],
    [claim({ name: "a" }), [`${requests}[0]: Required value: ${either}`]],
    [
      claim({ ...request("a"), firstAvailable: [{ name: "b", ...exactly() }] }),
      [`${requests}[0]: Invalid value: null: ${either}, but multiple fields are set`],
    ],
    [
      claim({ name: "a", firstAvailable: [{ name: "b", ...exactly({ count: -1 }) }] }),
      [`${requests}[0].firstAvailable[0].count: Invalid value: -1: must be greater than zero`],
    ],
    [
      claim(request("a", { allocationMode: "All", count: 2 })),
      [
        `${requests}[0].exactly.count: Invalid value: 2: ` +
          "must not be specified when allocationMode is 'All'",
      ],
    ],
    [
      claim(request("a", { allocationMode: "Some" })),
      [
        `${requests}[0].exactly.allocationMode: Unsupported value: "Some": ` +
          'supported values: "All", "ExactCount"',
      ],
    ],
    [
      claim(request("a", { tolerations: [{ operator: "Exists", value: "x", effect: "Never" }] })),
      [
        `${requests}[0].exactly.tolerations[0].value: Invalid value: "x": ` +
          "must be empty for operator `Exists`",
        `${requests}[0].exactly.tolerations[0].effect: Unsupported value: "Never": ` +
          'supported values: "NoExecute", "NoSchedule", "None"',
      ],
    ],
    [
      { devices: { requests: [request("a")], constraints: [{ requests: ["b"] }] } },
      [
        `spec.devices.constraints[0].requests[0]: Invalid value: "b": ${reference}`,
        "spec.devices.constraints[0]: Required value: exactly one of " +
          '"matchAttribute" or "distinctAttribute" is required, but multiple fields are set',
      ],
    ],
    [
      { devices: { requests: [request("a")], constraints: [{ matchAttribute: "model" }] } },
      [
        'spec.devices.constraints[0].matchAttribute: Invalid value: "model": ' +
          "a fully qualified name must be a domain and a name separated by a slash",
      ],
    ],
    [
      { devices: { config: [{ opaque: { driver: "example.com", parameters: [1] } }] } },
      [
        "spec.devices.config[0].opaque.parameters: Invalid value: " +
          '"<value omitted>": must be a valid JSON object',
      ],
    ],
    [
      { devices: { config: [{ opaque: { driver: "e", parameters: { a: "x".repeat(10_240) } } }] } },
      ["spec.devices.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"],
    ],
    [
      { devices: { requests: Array.from({ length: 33 }, (_, index) => request(`r${index}`)) } },
      [`${requests}: Too many: 33: must have at most 32 items`],
    ],
  ])("%j", async (spec, said) => {
    expect(await problems(claims, spec)).toEqual(said);
  });

  const selector = (expression: string) =>
    claim(request("a", { selectors: [{ cel: { expression } }] }));
  const where = `${requests}[0].exactly.selectors[0].cel.expression`;
  test.each([
    ["device.driver == 'x' && device.attributes['x'].size", []],
    ["device.attributes['x'].version.isGreaterThan(semver('1.0.0'))", []],
    ["device.capacity['x'].memory.compareTo(quantity('1Gi')) >= 0", []],
    ["cel.bind(x, device.attributes['x'], x.a && x.b)", []],
    ["device.driver", [`${where}: Invalid value: "device.driver": must evaluate to bool or`]],
    [
      "device.driver == 1",
      [`${where}: Invalid value: "device.driver == 1": compilation failed: ERROR: <input>:1:15`],
    ],
    [
      "device.attributes['x'].all(a, device.attributes['y'].all(b, device.attributes['z'].all(" +
        "c, device.attributes['u'].all(d, device.attributes['v'].all(e, a + b + c + d == e)))))",
      [`${where}: Forbidden: too complex, exceeds cost limit`],
    ],
  ])("the selector %s", async (expression, said) => {
    const told = await problems(claims, selector(expression));
    expect(told.map((one, index) => one.slice(0, said[index]?.length))).toEqual(said);
  });

  test("templates take over labels and annotations, nothing else", async () => {
    const path = `${group}/namespaces/default/resourceclaimtemplates`;
    const metadata = { labels: { a: "b" }, name: "x", finalizers: ["a/b"] };
    expect(await problems(path, { metadata, spec: claim({ name: "a" }) })).toEqual([
      "spec.metadata.name: Forbidden: cannot be set",
      "spec.metadata.finalizers: Forbidden: cannot be set",
      `spec.spec.devices.requests[0]: Required value: ${either}`,
    ]);
  });

  test("access as an administrator needs the namespace's label", async () => {
    const spec = claim(request("a", { adminAccess: true }));
    const label = "resource.kubernetes.io/admin-access";
    expect(await problems(claims, spec)).toEqual([
      `${requests}[0].adminAccess: Forbidden: admin access to devices requires the ` +
        `\`${label}: true\` label on the containing namespace`,
    ]);
    const metadata = { name: "admins", labels: { [label]: "true" } };
    await ask("POST", "/api/v1/namespaces", { body: { metadata } });
    expect(await problems(`${group}/namespaces/admins/resourceclaims`, spec)).toEqual([]);
  });
});

describe("the status of a claim", () => {
  const result = { request: "a", driver: "example.com", pool: "p", device: "d" };
  const allocation = { devices: { results: [result] } };
  const consumer = { resource: "pods", name: "p", uid: "u" };
  const write = (name: string, status: unknown) =>
    ask("PATCH", `${claims}/${name}/status`, { body: { status }, type: merge });
  const make = async (name: string): Promise<void> => {
    const body = { metadata: { name }, spec: claim(request("a")) };
    expect((await ask("POST", claims, { body })).code).toBe(201);
  };

  test("nothing is reserved that is not allocated", async () => {
    await make("unallocated");
    const { message } = await write("unallocated", { reservedFor: [consumer] });
    expect(message).toEndWith(
      "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    );
  });

  test("an allocation stays as it is until it is given back", async () => {
    await make("allocated");
    const other = { devices: { results: [{ ...result, request: "b" }] } };
    const named = 'status.allocation.devices.results[0].request: Invalid value: "b":';
    expect((await write("allocated", { allocation: other })).message).toContain(named);
    expect((await write("allocated", { allocation, reservedFor: [consumer] })).code).toBe(200);
    const changed = { devices: { results: [{ ...result, device: "e" }] } };
    expect((await write("allocated", { allocation: changed })).message).toContain(
      "status.allocation: Invalid value: ",
    );
    const gone = await write("allocated", { allocation: null, reservedFor: null });
    expect(gone.status).toEqual({});
  });

  test("what drivers tell of devices goes with their allocation", async () => {
    await make("told");
    const { request: _, ...named } = result;
    const told = { ...named, networkData: { ips: ["10.0.0.1/024"] } };
    const refused = await write("told", { allocation, devices: [told, { ...named, pool: "q" }] });
    expect(refused.details.causes).toMatchObject([
      {
        field: "status.devices[0].networkData.ips[0]",
        message: expect.stringContaining("must be"),
      },
      {
        field: "status.devices[1]",
        message:
          'Invalid value: {"Driver":{},"Pool":{},"Device":{},"ShareID":{}}: ' +
          "must be an allocated device in the claim",
      },
    ]);
    const data = { a: 1 };
    expect((await write("told", { allocation, devices: [{ ...named, data }] })).status).toEqual({
      allocation,
      devices: [{ ...named, conditions: null, data }],
    });
    expect((await write("told", { allocation: null })).status).toEqual({});
  });
});

describe("slices", () => {
  const at = "spec.devices[0]";
  test.each([
    [
      slice(device({ attributes: { "a-b": { int: 1 }, c: {} } })),
      [
        'spec.devices[0].attributes: Invalid value: "a-b": a valid C identifier must start with',
        `${at}.attributes[c]: Invalid value: "": exactly one value must be specified`,
      ],
    ],
    [
      slice(device({ attributes: { a: { version: "v1" } } })),
      [
        `${at}.attributes[a].version: Invalid value: "v1": ` +
          "must be a string compatible with semver.org spec 2.0.0",
      ],
    ],
    [
      slice(device({ attributes: { a: { int: 1, ints: [1] }, b: { strings: ["x"] } } })),
      [`${at}.attributes[b]: Invalid value: "": exactly one value must be specified`],
    ],
    [
      slice(device({ taints: [{ key: "a", effect: "Soon" }] })),
      [`${at}.taints[0].effect: Unsupported value: "Soon": supported values: "NoExecute"`],
    ],
    [
      slice(device({ bindingConditions: ["a"] })),
      [
        `${at}.bindingFailureConditions: Invalid value: null: ` +
          "bindingFailureConditions are required to use bindingConditions",
      ],
    ],
    [slice(device({ allNodes: true })), [`${at}: Invalid value: null: \`nodeName\`,`]],
    [
      slice(device({ capacity: { m: { value: "1Gi", requestPolicy: { default: "1" } } } })),
      [`${at}.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true`],
    ],
    [
      slice(
        device({
          allowMultipleAllocations: true,
          capacity: {
            m: {
              value: "8",
              requestPolicy: { default: "3", validRange: { min: "2", max: "9", step: "2" } },
            },
            n: { value: "8", requestPolicy: { default: "3", validValues: ["2", "1"] } },
          },
        }),
      ),
      [
        `${at}.capacity[m].requestPolicy.validRange.max: Invalid value: "9": ` +
          "max is larger than capacity value: 8",
        `${at}.capacity[m].requestPolicy.validRange.step: Invalid value: "3": ` +
          "value is not a multiple of a given step (2) from (2)",
        `${at}.capacity[m].requestPolicy.validRange.step: Invalid value: "9": `,
        `${at}.capacity[n].requestPolicy.validValues[1]: Invalid value: "1": ` +
          "values must be sorted in ascending order",
        `${at}.capacity[n].requestPolicy.validValues: Invalid value: "3": default value is not`,
      ],
    ],
    [
      { ...slice(), devices: undefined, sharedCounters: [{ name: "A", counters: {} }] },
      [
        'spec.sharedCounters[0].name: Invalid value: "A": a lowercase RFC 1123 label',
        "spec.sharedCounters[0].counters: Required value",
      ],
    ],
    [
      slice(...Array.from({ length: 65 }, (_, n) => ({ name: `d${n}`, taints: taintsOf(n) }))),
      ["spec.devices: Too many: 65: must have at most 64 items"],
    ],
  ])("%j", async (spec, said) => {
    const told = await problems(slices, spec);
    expect(told.map((one, index) => one.slice(0, said[index]?.length))).toEqual(said);
  });

  function taintsOf(index: number): readonly Fields[] {
    return index === 0 ? [{ key: "a", effect: "None" }] : [];
  }

  test("a taint is dated, and capital letters in a driver's name are told of", async () => {
    const spec = { ...slice(device({ taints: [{ key: "a", effect: "None" }] })), driver: "A.b" };
    const body = { metadata: { name: "dated" }, spec };
    const made = await ask("POST", slices, { body });
    const [dated] = made.spec.devices as readonly { taints: readonly Fields[] }[];
    expect(dated?.taints[0]?.timeAdded).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(made.warnings).toContain("driver names should be lowercase");
  });
});

test("classes name extended resources as nodes may have them", async () => {
  const classes = `${group}/deviceclasses`;
  expect(await problems(classes, { extendedResourceName: "example.com/gpu" })).toEqual([]);
  expect(await problems(classes, { extendedResourceName: "cpu" })).toEqual([
    'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
  ]);
  expect(await problems(classes, { selectors: [{}] })).toEqual([
    "spec.selectors[0].cel: Required value",
  ]);
});
