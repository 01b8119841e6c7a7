import { describe, expect, test } from "bun:test";
import { matchErrors, paramKindErrors, paramRefErrors } from "./admission-policy-validation.ts";
import {
  reviewVersionErrors,
  ruleErrors,
  webhookClientErrors,
} from "./admission-rule-validation.ts";

type Errors = ReturnType<typeof ruleErrors>;
const told = (errors: Errors): readonly string[] =>
  errors.map(({ field, detail, type }) => `${field}: ${detail || type}`);

const good = {
  operations: ["CREATE"],
  apiGroups: ["apps"],
  apiVersions: ["v1"],
  resources: ["deployments"],
};

describe("rules", () => {
  test.each([
    [{}, []],
    [
      { operations: ["*", "CREATE"] },
      ["r.operations: if '*' is present, must not specify other operations"],
    ],
    [{ apiVersions: [""] }, ["r.apiVersions[0]: FieldValueRequired"]],
    [{ resources: [] }, ["r.resources: FieldValueRequired"]],
    [
      { resources: ["pods/*", "pods/log"] },
      ["r.resources[1]: if 'pods/*' is present, must not specify pods/log"],
    ],
    [
      { resources: ["*/*", "pods"] },
      ["r.resources: if '*/*' is present, must not specify other resources"],
    ],
    [
      { resources: ["*", "pods"] },
      ["r.resources: if '*' is present, must not specify other resources without subresources"],
    ],
    [{ resources: ["*", "pods/log"] }, []],
  ])("%j", (change, wanted) => {
    expect(told(ruleErrors({ ...good, ...change }, "r"))).toEqual(wanted);
  });
});

describe("where a webhook is", () => {
  const form = "; desired format: https://host[/path]";
  test.each([
    [{ url: "https://a.b/c" }, []],
    [{}, ["c: exactly one of url or service is required"]],
    [
      { url: "::1" },
      [`c.url: url must be a valid URL: parse "::1": missing protocol scheme${form}`],
    ],
    [
      { url: "https://a:b" },
      [`c.url: url must be a valid URL: parse "https://a:b": invalid port ":b" after host${form}`],
    ],
    [{ url: "http://a.b" }, [`c.url: 'https' is the only allowed URL scheme${form}`]],
    [{ url: "https://" }, [`c.url: host must be specified${form}`]],
    [{ url: "https://me@a.b" }, ["c.url: user information is not permitted in the URL"]],
    [{ url: "https://a.b#x" }, ["c.url: fragments are not permitted in the URL"]],
    [{ url: "https://a.b?x" }, ["c.url: query parameters are not permitted in the URL"]],
    [{ service: { name: "a", namespace: "b", path: "/c/d" } }, []],
    [
      { service: { name: "", namespace: "", port: 0, path: "c//D" } },
      [
        "c.service.name: FieldValueRequired",
        "c.service.namespace: FieldValueRequired",
        "c.service.port: port is not valid: must be between 1 and 65535, inclusive",
        "c.service.path: must start with a '/'",
        "c.service.path: segment[0] may not be empty",
        "c.service.path: segment[1] may not be empty",
        expect.stringContaining("c.service.path: segment[2]: a lowercase RFC 1123 subdomain"),
      ],
    ],
  ])("%j", (client, wanted) => {
    expect(told(webhookClientErrors(client, "c"))).toEqual(wanted as string[]);
  });
});

test("versions of reviews", () => {
  expect(told(reviewVersionErrors(["v1", "v2"], "v"))).toEqual([]);
  expect(told(reviewVersionErrors([], "v"))).toEqual(["v: must specify one of v1, v1beta1"]);
  expect(told(reviewVersionErrors(["v2", "v2"], "v"))).toEqual([
    "v[1]: duplicate version",
    "v: must include at least one of v1, v1beta1",
  ]);
});

test("parameters of policies", () => {
  expect(told(paramKindErrors({ apiVersion: "v1", kind: "ConfigMap" }))).toEqual([]);
  expect(told(paramKindErrors({ apiVersion: "x.io/", kind: "-" }))).toEqual([
    "spec.paramKind.apiVersion: version must be specified",
    expect.stringContaining("spec.paramKind.kind: may have mixed case, but should otherwise"),
  ]);
  expect(told(paramRefErrors({ name: "a", parameterNotFoundAction: "Deny" }))).toEqual([]);
  expect(told(paramRefErrors({ name: "a", selector: {} }))).toEqual([
    "spec.paramRef.name: name and selector are mutually exclusive",
    "spec.paramRef.selector: name and selector are mutually exclusive",
    "spec.paramRef.parameterNotFoundAction: FieldValueRequired",
  ]);
  expect(told(paramRefErrors({ parameterNotFoundAction: "Allow" }))).toEqual([
    "spec.paramRef: one of name or selector must be specified",
  ]);
});

test("mutating policies see what is created and changed", () => {
  const resourceRules = [{ ...good, operations: ["DELETE"] }];
  const match = { matchPolicy: "Equivalent", resourceRules };
  expect(told(matchErrors(match, "m", false))).toEqual([]);
  expect(matchErrors(match, "m", true)).toMatchObject([
    { type: "FieldValueNotSupported", field: "m.resourceRules.operations", value: "DELETE" },
  ]);
});
