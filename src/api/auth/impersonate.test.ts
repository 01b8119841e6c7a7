import { expect, test } from "bun:test";
import type { Attributes } from "../authorizer.ts";
import type { User } from "../request.ts";
import { createImpersonate } from "./impersonate.ts";

const admin: User = { name: "admin", uid: "", groups: ["ops"], extra: {} };
const agent: User = {
  name: "system:serviceaccount:kube-system:agent",
  uid: "7",
  groups: [],
  extra: { "authentication.kubernetes.io/node-name": ["n1"] },
};

/** `verb group/resource/subresource namespace/name` of every question. */
function textOf({ verb, group, resource, subresource, namespace, name }: Attributes): string {
  const what = [group, resource, subresource].filter(Boolean).join("/");
  return `${verb} ${what} ${namespace === "" ? name : `${namespace}/${name}`}`;
}

function asking(allowed: readonly string[], user = admin) {
  const asked: string[] = [];
  const impersonate = createImpersonate({
    authorize: async (attributes) => {
      asked.push(textOf(attributes));
      return { allowed: allowed.includes(textOf(attributes)), reason: "" };
    },
  });
  const attributes = (): Attributes => ({
    user,
    verb: "list",
    group: "",
    version: "v1",
    resource: "pods",
    subresource: "",
    namespace: "shop",
    name: "",
    path: "",
    isResourceRequest: true,
  });
  const as = (headers: Record<string, string>) =>
    impersonate(user, new Headers(headers), attributes);
  return { as, asked };
}

const jane = { "impersonate-user": "jane" };

test("createImpersonate() leaves the user alone without headers", async () => {
  expect(await asking([]).as({})).toBeUndefined();
});

test("createImpersonate() becomes the user and adds system:authenticated", async () => {
  const { as } = asking([
    "impersonate users jane",
    "impersonate groups dev",
    "impersonate groups ops",
  ]);
  expect(await as({ ...jane, "impersonate-group": "dev, ops" })).toEqual({
    user: { name: "jane", uid: "", groups: ["dev", "ops", "system:authenticated"], extra: {} },
    constraint: "",
  });
});

test("createImpersonate() completes the groups of accounts and of the anonymous user", async () => {
  const { as } = asking([
    "impersonate serviceaccounts shop/cart",
    "impersonate users system:anonymous",
  ]);
  const account = await as({ "impersonate-user": "system:serviceaccount:shop:cart" });
  expect(account?.user.groups).toEqual([
    "system:serviceaccounts",
    "system:serviceaccounts:shop",
    "system:authenticated",
  ]);
  const nobody = await as({ "impersonate-user": "system:anonymous" });
  expect(nobody?.user.groups).toEqual(["system:unauthenticated"]);
});

test("createImpersonate() checks uid and each extra value", async () => {
  const headers = {
    ...jane,
    "impersonate-uid": "9",
    "impersonate-extra-example.com%2fscope": "a, b",
  };
  const needed = [
    "impersonate users jane",
    "impersonate authentication.k8s.io/uids 9",
    "impersonate authentication.k8s.io/userextras/example.com/scope a",
    "impersonate authentication.k8s.io/userextras/example.com/scope b",
  ];
  expect((await asking(needed).as(headers))?.user).toMatchObject({
    uid: "9",
    extra: { "example.com/scope": ["a", "b"] },
  });
  for (const one of needed) {
    const rest = needed.filter((other) => other !== one);
    await expect(asking(rest).as(headers)).rejects.toMatchObject({ code: 403 });
  }
});

test("createImpersonate() needs a user to impersonate", async () => {
  await expect(asking([]).as({ "impersonate-group": "x" })).rejects.toMatchObject({
    code: 400,
    message:
      'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"x"}, ' +
      "Extra:map[string][]string(nil)} without impersonating a user name",
  });
});

test("createImpersonate() bounds a user to what may be done as others", async () => {
  const { as } = asking([
    "impersonate-on:user-info:list pods shop/",
    "impersonate:user-info authentication.k8s.io/users jane",
  ]);
  expect(await as(jane)).toMatchObject({ constraint: "impersonate:user-info" });
  const { as: other } = asking(["impersonate:user-info authentication.k8s.io/users jane"]);
  await expect(other(jane)).rejects.toMatchObject({
    message:
      'pods is forbidden: User "admin" cannot impersonate-on:user-info:list resource "pods" in ' +
      'API group "" in the namespace "shop"',
  });
});

test("createImpersonate() gives no mode the group system:masters, only the old verb", async () => {
  const on = "impersonate-on:user-info:list pods shop/";
  const by = "impersonate:user-info authentication.k8s.io/";
  const headers = { ...jane, "impersonate-group": "system:masters" };
  await expect(
    asking([on, `${by}users jane`, `${by}groups system:masters`, `${by}groups *`]).as(headers),
  ).rejects.toThrow("impersonating the system:masters group is not allowed");
  const old = ["impersonate users jane", "impersonate groups system:masters"];
  expect((await asking(old).as(headers))?.user.groups).toContain("system:masters");
});

test("createImpersonate() lets an agent be the node it runs on, and no other", async () => {
  const allowed = [
    "impersonate-on:associated-node:list pods shop/",
    "impersonate:associated-node authentication.k8s.io/nodes *",
  ];
  const { as } = asking(allowed, agent);
  expect(await as({ "impersonate-user": "system:node:n1" })).toEqual({
    user: {
      name: "system:node:n1",
      uid: "",
      groups: ["system:nodes", "system:authenticated"],
      extra: {},
    },
    constraint: "impersonate:associated-node",
  });
  await expect(as({ "impersonate-user": "system:node:n2" })).rejects.toMatchObject({ code: 403 });
});

test("createImpersonate() asks for nodes and accounts by modes of their own", async () => {
  const node = asking([
    "impersonate-on:arbitrary-node:list pods shop/",
    "impersonate:arbitrary-node authentication.k8s.io/nodes n2",
  ]);
  expect(await node.as({ "impersonate-user": "system:node:n2" })).toMatchObject({
    constraint: "impersonate:arbitrary-node",
  });
  const account = asking([
    "impersonate-on:serviceaccount:list pods shop/",
    "impersonate:serviceaccount authentication.k8s.io/serviceaccounts shop/cart",
  ]);
  expect(await account.as({ "impersonate-user": "system:serviceaccount:shop:cart" })).toMatchObject(
    {
      constraint: "impersonate:serviceaccount",
    },
  );
});

test("createImpersonate() begins with what worked last", async () => {
  const { as, asked } = asking(["impersonate users jane"]);
  await as(jane);
  expect(asked).toEqual(["impersonate-on:user-info:list pods shop/", "impersonate users jane"]);
  await as(jane);
  expect(asked.slice(2)).toEqual(["impersonate users jane"]);
});

test("createImpersonate() asks once for many groups, if that is allowed", async () => {
  const by = "impersonate:user-info authentication.k8s.io/";
  const on = "impersonate-on:user-info:list pods shop/";
  const { as, asked } = asking([on, `${by}users jane`, `${by}groups *`]);
  await as({ ...jane, "impersonate-group": "a, b, c, d" });
  expect(asked).toHaveLength(3);
});
