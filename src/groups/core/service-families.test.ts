/** Services of clusters with two address families and with one, through the whole API. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { services } from "../../client/resources.ts";
import type { Service } from "../../gen/core-v1.ts";
import { openServer, openWorld, type World } from "../test-world.ts";

const v4 = "10.43.0.0/16";
const v6 = "fd00:43::/112";
const inV4 = /^10\.43\.\d+\.\d+$/;
const inV6 = /^fd00:43::[0-9a-f]{1,4}$/;

let dual: World;
let single: World;
let sixFirst: World;
beforeAll(async () => {
  dual = await openWorld({ serviceCidrs: [v4, v6] });
  single = await openWorld();
  sixFirst = await openWorld({ serviceCidrs: [v6, v4] });
});
afterAll(async () => {
  for (const world of [dual, single, sixFirst]) await world[Symbol.asyncDispose]();
});

let count = 0;
async function create(world: World, spec: Partial<Service["spec"]>): Promise<Service> {
  count += 1;
  return await world.client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `s${count}`, namespace: "default" },
    spec: { ports: [{ port: 80 }], selector: { app: "a" }, ...spec },
  });
}

test("the policy decides how many families a Service has, the cluster which is first", async () => {
  expect((await create(dual, {})).spec).toMatchObject({
    ipFamilyPolicy: "SingleStack",
    ipFamilies: ["IPv4"],
    clusterIPs: [expect.stringMatching(inV4)],
  });
  const both = (await create(dual, { ipFamilyPolicy: "RequireDualStack" })).spec;
  expect(both.ipFamilies).toEqual(["IPv4", "IPv6"]);
  expect(both.clusterIPs).toEqual([expect.stringMatching(inV4), expect.stringMatching(inV6)]);
  expect(both.clusterIP).toBe(both.clusterIPs?.[0] ?? "");
  const six = (await create(dual, { ipFamilyPolicy: "PreferDualStack", ipFamilies: ["IPv6"] }))
    .spec;
  expect(six.ipFamilies).toEqual(["IPv6", "IPv4"]);
  expect(six.clusterIP).toMatch(inV6);
  expect((await create(sixFirst, {})).spec.clusterIP).toMatch(inV6);
  const alone = (await create(single, { ipFamilyPolicy: "PreferDualStack" })).spec;
  expect(alone).toMatchObject({ ipFamilyPolicy: "PreferDualStack", ipFamilies: ["IPv4"] });
});

test("addresses that are asked for tell their families", async () => {
  const six = (await create(dual, { clusterIP: "fd00:43::0:77" })).spec;
  expect(six).toMatchObject({ ipFamilies: ["IPv6"], ipFamilyPolicy: "SingleStack" });
  await expect(create(dual, { clusterIP: "fd00:43::77" })).rejects.toThrow("already allocated");
  const asked = { clusterIP: "10.43.1.1", clusterIPs: ["10.43.1.1", "fd00:43::101"] };
  await expect(create(dual, asked)).rejects.toThrow(
    "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
  );
  const both = (await create(dual, { ...asked, ipFamilyPolicy: "PreferDualStack" })).spec;
  expect(both.ipFamilies).toEqual(["IPv4", "IPv6"]);
  expect(both.clusterIPs).toEqual(asked.clusterIPs);
});

test("a headless Service without selector is of both families on every cluster", async () => {
  const headless = { clusterIP: "None", selector: {} };
  for (const [world, ipFamilies] of [
    [single, ["IPv4", "IPv6"]],
    [sixFirst, ["IPv6", "IPv4"]],
  ] as const)
    expect((await create(world, headless)).spec).toMatchObject({
      ipFamilyPolicy: "RequireDualStack",
      ipFamilies,
      clusterIPs: ["None"],
    });
  const chosen = { ...headless, selector: { app: "a" }, ipFamilyPolicy: "PreferDualStack" };
  expect((await create(dual, chosen)).spec.ipFamilies).toEqual(["IPv4", "IPv6"]);
});

const refusals: readonly (readonly [string, Partial<Service["spec"]>, string])[] = [
  [
    "two families",
    { ipFamilyPolicy: "RequireDualStack" },
    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for ' +
      "dual-stack services",
  ],
  [
    "the other family",
    { ipFamilies: ["IPv6"] },
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ],
  [
    "an address of the other family",
    { clusterIP: "fd00:43::5" },
    'spec.clusterIPs[0]: Invalid value: ["fd00:43::5"]: IPv6 is not configured on this cluster',
  ],
  [
    "an unknown family",
    { ipFamilies: ["IPv5"] },
    'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
  ],
];
for (const [what, spec, message] of refusals)
  test(`a cluster of one family refuses ${what}`, async () => {
    await expect(create(single, spec)).rejects.toThrow(message);
  });

test("a change of the policy adds the second family and takes it away again", async () => {
  const made = await create(dual, {});
  const { name = "" } = made.metadata;
  const patch = (spec: object): Promise<Service> =>
    dual.client.patch(services, "default", name, "merge", { spec });
  const wider = (await patch({ ipFamilyPolicy: "PreferDualStack" })).spec;
  expect(wider.ipFamilies).toEqual(["IPv4", "IPv6"]);
  expect(wider.clusterIPs).toEqual([made.spec.clusterIP ?? "", expect.stringMatching(inV6)]);
  await expect(patch({ ipFamilies: ["IPv4"] })).rejects.toThrow(
    "must be 'SingleStack' to release the secondary IP family",
  );
  await expect(patch({ ipFamilies: ["IPv6", "IPv4"] })).rejects.toThrow(
    "expected an IPv6 value as indicated by `ipFamilies[0]`",
  );
  const narrow = (await patch({ ipFamilyPolicy: "SingleStack" })).spec;
  expect(narrow).toMatchObject({ ipFamilies: ["IPv4"], clusterIPs: [made.spec.clusterIP] });
  const [, freed = ""] = wider.clusterIPs ?? [];
  expect((await create(dual, { clusterIP: freed })).spec.clusterIP).toBe(freed);
});

test("a PreferDualStack Service stays of one family when the cluster gets another", async () => {
  const { store, runtime } = single;
  const made = await create(single, { ipFamilyPolicy: "PreferDualStack" });
  const later = await openServer(runtime, store, { serviceCidrs: [v4, v6] });
  const { name = "" } = made.metadata;
  const patched = await later.client.patch(services, "default", name, "merge", {
    metadata: { labels: { a: "b" } },
  });
  expect(patched.spec.ipFamilies).toEqual(["IPv4"]);
  const wide = { spec: { ipFamilyPolicy: "RequireDualStack" } };
  const grown = await later.client.patch(services, "default", name, "merge", wide);
  expect(grown.spec.clusterIPs).toEqual([made.spec.clusterIP ?? "", expect.stringMatching(inV6)]);
});
