import { describe, expect, test } from "bun:test";
import type { ValidatingAdmissionPolicySpec } from "../../../gen/admissionregistration-v1.ts";
import { ruleType } from "../../structural/rule-types.ts";
import { typeOf } from "../../types.ts";
import { kindType } from "./kind-types.ts";
import { type KindLookup, type TypedKind, typeWarnings } from "./type-check.ts";

function built(group: string, version: string, kind: string): TypedKind | undefined {
  const type = typeOf(group, version, kind);
  return type === undefined ? undefined : { group, version, kind, type: kindType(type) };
}
const widget = ruleType(
  {
    type: "object",
    properties: { spec: { type: "object", properties: { size: { type: "integer" } } } },
  },
  true,
  "Widget",
)?.type;
const kinds: Readonly<Record<string, string>> = {
  pods: "Pod",
  deployments: "Deployment",
  configmaps: "ConfigMap",
};
const lookup: KindLookup = {
  byResource(group, version, resource) {
    if (resource === "widgets") return { group, version, kind: "Widget", type: widget };
    return built(group, version, kinds[resource] ?? "");
  },
  byKind: built,
};
const rule = (group: string, ...resources: string[]) => ({
  operations: ["CREATE"],
  apiGroups: [group],
  apiVersions: ["v1"],
  resources,
});
function warnings(spec: Partial<ValidatingAdmissionPolicySpec>, ...expressions: string[]) {
  const validations = expressions.map((expression) => ({ expression }));
  const resourceRules = [rule("apps", "deployments")];
  return typeWarnings({ matchConstraints: { resourceRules }, validations, ...spec }, lookup);
}

describe("expressions are checked against the kinds that a policy is about", () => {
  test("what is right is silent", () => {
    const right = [
      "object.spec.replicas <= 5 && oldObject.metadata.name == object.metadata.name",
      "object.spec.template.spec.containers.all(c, c.image.startsWith('a') || !has(c.ports))",
      "object.metadata.creationTimestamp < timestamp('2030-01-01T00:00:00Z')",
      "object.metadata.labels.?app.orValue('') == request.namespace",
      "object.metadata.namespace == namespaceObject.metadata.name",
      "object.spec.template.spec.containers[0].livenessProbe.httpGet.port == 80",
      "authorizer.group('').resource('pods').check('get').allowed()",
    ];
    expect(warnings({}, ...right)).toEqual([]);
  });

  test("what is wrong is told with its kind and place", () => {
    expect(warnings({}, "true", "object.spec.replica == 1")).toEqual([
      {
        fieldRef: "spec.validations[1].expression",
        warning:
          "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'\n" +
          " | object.spec.replica == 1\n | ...........^\n",
      },
    ]);
    const [operands] = warnings({}, "object.spec.replicas == 'a'");
    expect(operands?.warning).toContain(
      "found no matching overload for '_==_' applied to '(int, string)'",
    );
    const message = { expression: "true", messageExpression: "object.absent" };
    expect(warnings({ validations: [message] })[0]?.fieldRef).toBe(
      "spec.validations[0].messageExpression",
    );
  });

  test("each kind for itself; variables and parameters have types too", () => {
    const resourceRules = [rule("", "pods", "configmaps"), rule("", "pods/log", "*")];
    const [both] = warnings({ matchConstraints: { resourceRules } }, "object.data.size() == 0");
    expect(both?.warning).toBe(
      "/v1, Kind=Pod: ERROR: <input>:1:7: undefined field 'data'\n" +
        " | object.data.size() == 0\n | ......^\n",
    );
    const variables = [{ name: "r", expression: "object.spec.replicas" }];
    expect(warnings({ variables }, "variables.r > 1")).toEqual([]);
    expect(warnings({ variables }, "variables.r == 'a'")).toHaveLength(1);
    expect(warnings({ variables }, "variables.q == 'a'")[0]?.warning).toContain(
      "undefined field 'q'",
    );
    const paramKind = { apiVersion: "v1", kind: "ConfigMap" };
    expect(warnings({ paramKind }, "params.data.x == 'a'")).toEqual([]);
    expect(warnings({ paramKind }, "params.spec == 'a'")).toHaveLength(1);
  });

  test("custom resources by their schemas; wildcards by nothing", () => {
    const ofWidgets = { matchConstraints: { resourceRules: [rule("x.io", "widgets")] } };
    expect(warnings(ofWidgets, "object.spec.size > 1 && object.metadata.name != ''")).toEqual([]);
    expect(warnings(ofWidgets, "object.spec.colour == 'red'")).toHaveLength(1);
    const wild = { ...rule("", "pods"), apiGroups: ["*"] };
    expect(warnings({ matchConstraints: { resourceRules: [wild] } }, "object.absent")).toEqual([]);
  });
});
