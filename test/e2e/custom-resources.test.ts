/** Custom resources as a user meets them: kubectl against the real binary, without a node. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.warn(`Left out test/e2e/custom-resources.test.ts: ${skip}`);

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gardens.example.com
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gardens, singular: garden, kind: Garden, shortNames: [gd], categories: [all]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}, scale: {specReplicasPath: .spec.beds, statusReplicasPath: .status.beds}}
      additionalPrinterColumns:
        - {name: Beds, type: integer, jsonPath: .spec.beds}
        - {name: Soil, type: string, jsonPath: .spec.soil}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              description: What grows where.
              x-kubernetes-validations:
                - {rule: self.beds <= 10, message: too many beds}
              properties:
                beds: {type: integer, minimum: 0, default: 1}
                soil: {type: string, enum: [clay, sand]}
            status:
              type: object
              properties: {beds: {type: integer}}
`;

function garden(name: string, spec: string): string {
  return `{apiVersion: example.com/v1, kind: Garden, metadata: {name: ${name}}, spec: ${spec}}`;
}

describe.skipIf(skip !== undefined)("custom resources", () => {
  const cluster = new Cluster();
  beforeAll(async () => {
    await cluster.startWithoutAgent();
    await cluster.run("apply -f -", definition);
    await cluster.run("wait --for=condition=Established crd/gardens.example.com --timeout=10s");
  }, 60_000);
  afterAll(() => cluster.destroy());

  test("objects are applied, shown with their columns and scaled", async () => {
    expect(await cluster.run("apply -f -", garden("north", "{soil: clay}"))).toContain("created");
    expect(await cluster.run("apply -f -", garden("north", "{soil: clay}"))).toContain("unchanged");
    const [head = "", row = ""] = (await cluster.run("get gd")).split("\n");
    expect(head.split(/\s+/)).toEqual(["NAME", "BEDS", "SOIL"]);
    expect(row.split(/\s+/)).toEqual(["north", "1", "clay"]);
    await cluster.run("scale garden north --replicas=3");
    expect(await cluster.run("get garden north -o jsonpath={.spec.beds}")).toBe("3");
    expect(await cluster.run("get all -o name")).toContain("garden.example.com/north");
    expect(await cluster.run("explain garden.spec")).toContain("What grows where.");
  });

  test("what does not fit is refused in Kubernetes' words", async () => {
    const wrong = await cluster.kubectl("apply -f -", garden("wrong", "{soil: mud}"));
    expect(wrong.stderr).toContain(
      'spec.soil: Unsupported value: "mud": supported values: "clay", "sand"',
    );
    const unknown = await cluster.kubectl("apply -f -", garden("wrong", "{sand: yes}"));
    expect(unknown.stderr).toContain('unknown field "spec.sand"');
    const many = await cluster.kubectl("apply -f -", garden("wrong", "{beds: 11}"));
    expect(many.stderr).toContain("spec: Invalid value: too many beds");
  });

  test("objects outlive the server, and go with their definition", async () => {
    await cluster.run("apply -f -", garden("south", "{beds: 2}"));
    await cluster.stop();
    await cluster.startWithoutAgent();
    await cluster.until("the kind is served again", async () => {
      const { stdout } = await cluster.kubectl("get garden south -o jsonpath={.spec.beds}");
      return stdout === "2";
    });
    await cluster.run("delete crd gardens.example.com --timeout=20s");
    const gone = await cluster.kubectl("get gardens");
    expect(gone.stderr).toContain("the server could not find the requested resource");
    await cluster.run("apply -f -", definition);
    await cluster.run("wait --for=condition=Established crd/gardens.example.com --timeout=10s");
    expect(await cluster.run("get gardens -o name")).toBe("");
  });
});
