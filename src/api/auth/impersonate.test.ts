import { expect, test } from "bun:test";
import type { Authorizer } from "../authorizer.ts";
import type { User } from "../request.ts";
import { createImpersonate } from "./impersonate.ts";

const admin: User = { name: "admin", uid: "", groups: ["system:masters"], extra: {} };
function authorizer(allowed: readonly string[]): Authorizer {
  return {
    authorize: async ({ resource, namespace, name }) => ({
      allowed: allowed.includes([resource, namespace, name].join("/")),
      reason: "",
    }),
  };
}
const as = async (headers: Record<string, string>, allowed: readonly string[]) =>
  (await createImpersonate(authorizer(allowed))(admin, new Headers(headers)))?.user;

test("createImpersonate() leaves the user alone without headers", async () => {
  expect(await as({}, [])).toBeUndefined();
});
test("createImpersonate() becomes the user and adds system:authenticated", async () => {
  const headers = { "impersonate-user": "jane", "impersonate-group": "dev, ops" };
  const user = await as(headers, ["users//jane", "groups//dev", "groups//ops"]);
  expect(user).toMatchObject({ name: "jane", groups: ["dev", "ops", "system:authenticated"] });
});
test("createImpersonate() completes the groups of a service account", async () => {
  const name = "system:serviceaccount:shop:cart";
  const user = await as({ "impersonate-user": name }, ["serviceaccounts/shop/cart"]);
  expect(user?.groups).toEqual([
    "system:serviceaccounts",
    "system:serviceaccounts:shop",
    "system:authenticated",
  ]);
});
test("createImpersonate() refuses what is not allowed", async () => {
  const headers = { "impersonate-user": "jane", "impersonate-group": "system:masters" };
  await expect(as(headers, ["users//jane"])).rejects.toThrow(
    'groups "system:masters" is forbidden: User "admin" cannot impersonate resource "groups" in ' +
      'API group "" at the cluster scope',
  );
});
test("createImpersonate() needs a user to impersonate", async () => {
  await expect(as({ "impersonate-group": "x" }, [])).rejects.toThrow(
    "without impersonating a user",
  );
});
