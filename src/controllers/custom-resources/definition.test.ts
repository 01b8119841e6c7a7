import { describe, expect, test } from "bun:test";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import { World } from "../testing/world.ts";
import { createCustomResourceDefinitionController } from "./definition.ts";

interface Names {
  readonly shortNames?: readonly string[];
  readonly kind?: string;
  readonly singular?: string;
}

function definition(plural: string, names: Names = {}, more: object = {}) {
  const kind = names.kind ?? `${plural}Kind`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.x.io` },
    spec: {
      group: "x.io",
      scope: "Namespaced",
      names: {
        plural,
        singular: names.singular ?? `${plural}-one`,
        kind,
        listKind: `${kind}List`,
        ...(names.shortNames && { shortNames: names.shortNames }),
      },
      versions: [{ name: "v1", served: true, storage: true }],
    },
    ...more,
  } as unknown as CustomResourceDefinition;
}

async function opened() {
  const world = new World();
  world.run(createCustomResourceDefinitionController(world.context));
  const create = async (crd: CustomResourceDefinition) => {
    await world.client.create(customResourceDefinitions, crd);
    await world.settle();
  };
  const conditionOf = (name: string, wanted: string) =>
    world.get(customResourceDefinitions, name).status?.conditions?.find(({ type }) => {
      return type === wanted;
    });
  return { world, create, conditionOf };
}

describe("names", () => {
  test("that are free are accepted, and the definition is established", async () => {
    const { world, create, conditionOf } = await opened();
    await create(definition("as", { shortNames: ["a"] }));
    expect(world.get(customResourceDefinitions, "as.x.io").status?.acceptedNames).toMatchObject({
      plural: "as",
      shortNames: ["a"],
    });
    expect(conditionOf("as.x.io", "NamesAccepted")).toMatchObject({ reason: "NoConflicts" });
    expect(conditionOf("as.x.io", "Established")).toMatchObject({ status: "True" });
  });

  test("of others are refused until these let go of them", async () => {
    const { world, create, conditionOf } = await opened();
    await create(definition("as", { shortNames: ["x", "y"], singular: "one" }));
    await create(definition("bs", { shortNames: ["x", "y", "z"], singular: "one" }));
    expect(conditionOf("bs.x.io", "NamesAccepted")).toMatchObject({
      status: "False",
      reason: "ShortNamesConflict",
      message: '["x" is already in use, "y" is already in use]',
    });
    expect(conditionOf("bs.x.io", "Established")).toMatchObject({ reason: "NotAccepted" });
    const first = world.get(customResourceDefinitions, "as.x.io");
    const names = { ...first.spec.names, shortNames: ["y"] };
    await world.client.update(customResourceDefinitions, {
      ...first,
      spec: { ...first.spec, names },
    } as CustomResourceDefinition);
    await world.settle();
    expect(conditionOf("bs.x.io", "NamesAccepted")?.message).toBe('"y" is already in use');
    await world.client.delete(customResourceDefinitions, "", "as.x.io");
    await world.settle();
    expect(conditionOf("bs.x.io", "NamesAccepted")).toMatchObject({ status: "True" });
    expect(conditionOf("bs.x.io", "Established")).toMatchObject({ status: "True" });
  });

  test("of a kind conflict too; what is served goes on under its former names", async () => {
    const { world, create, conditionOf } = await opened();
    await create(definition("as", { kind: "Thing" }));
    await create(definition("bs", { kind: "Other" }));
    const second = world.get(customResourceDefinitions, "bs.x.io");
    const names = { ...second.spec.names, kind: "Thing", listKind: "OtherList" };
    await world.client.update(customResourceDefinitions, {
      ...second,
      spec: { ...second.spec, names },
    } as CustomResourceDefinition);
    await world.settle();
    expect(conditionOf("bs.x.io", "NamesAccepted")).toMatchObject({ reason: "KindConflict" });
    expect(conditionOf("bs.x.io", "Established")).toMatchObject({ status: "True" });
    const { acceptedNames } = world.get(customResourceDefinitions, "bs.x.io").status ?? {};
    expect(acceptedNames).toMatchObject({ kind: "Other", listKind: "OtherList" });
  });
});

test.each([
  ["https://github.com/x/y/pull/1", "True", "ApprovedAnnotation"],
  ["unapproved, an experiment", "False", "UnapprovedAnnotation"],
  ["maybe", "False", "InvalidAnnotation"],
  ["", "False", "MissingAnnotation"],
])("a group of the project with the approval %p", async (value, status, reason) => {
  const { create, conditionOf } = await opened();
  const crd = definition("as");
  const annotations = value === "" ? {} : { "api-approved.kubernetes.io": value };
  await create({
    ...crd,
    metadata: { name: "as.x.k8s.io", annotations },
    spec: { ...crd.spec, group: "x.k8s.io" },
  });
  expect(conditionOf("as.x.k8s.io", "KubernetesAPIApprovalPolicyConformant")).toMatchObject({
    status,
    reason,
  });
});
