/** What kubectl says of server-side apply: two managers, conflicts, and who manages what. */
import type { Case } from "./kubectls.ts";

const map = (data: Record<string, string>): string =>
  JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "ssa" }, data });
const deployment = (replicas: number | undefined, image = "web:1"): string =>
  JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "ssa" },
    spec: {
      ...(replicas === undefined ? {} : { replicas }),
      selector: { matchLabels: { app: "ssa" } },
      template: {
        metadata: { labels: { app: "ssa" } },
        spec: { containers: [{ name: "web", image }] },
      },
    },
  });
const apply = (manager: string, ...more: string[]): readonly string[] => [
  "apply",
  "--server-side",
  `--field-manager=${manager}`,
  ...more,
  "-f",
  "-",
];
const managers = `jsonpath={range .metadata.managedFields[*]}{.manager}={.operation} {end}`;

export const serverSideCases: readonly Case[] = [
  { run: apply("one"), stdin: map({ a: "1", b: "1" }), out: "configmap/ssa serverside-applied" },
  { run: apply("one"), stdin: map({ a: "1", b: "1" }), out: "configmap/ssa serverside-applied" },
  { run: apply("two"), stdin: map({ c: "1" }), out: "configmap/ssa serverside-applied" },
  {
    run: ["get", "cm", "ssa", "--show-managed-fields", "-o", managers],
    out: "one=Apply two=Apply ",
  },
  {
    run: apply("two"),
    stdin: map({ a: "2", b: "2" }),
    code: 1,
    err: [
      'error: Apply failed with 2 conflicts: conflicts with "one":',
      "- .data.a",
      "- .data.b",
      "Please review the fields above--they currently have other managers.",
    ],
  },
  { run: apply("two", "--force-conflicts"), stdin: map({ a: "2" }), has: ["serverside-applied"] },
  { run: "get cm ssa -o jsonpath={.data}", out: '{"a":"2","b":"1"}' },
  { run: apply("one"), stdin: map({}), has: ["serverside-applied"] },
  { run: "get cm ssa -o jsonpath={.data}", out: '{"a":"2"}' },
  {
    run: ["diff", "--server-side", "--field-manager=two", "-f", "-"],
    stdin: map({ a: "3" }),
    code: 1,
    has: [`-  a: "2"`, `+  a: "3"`],
  },
  {
    run: ["diff", "--server-side", "--field-manager=two", "-f", "-"],
    stdin: map({ a: "2" }),
    out: "",
  },
  { run: apply("one", "--dry-run=server"), stdin: map({ d: "1" }), has: ["(server dry run)"] },
  { run: "get cm ssa -o jsonpath={.data}", out: '{"a":"2"}' },
  { run: ["apply", "-f", "-"], stdin: deployment(1), out: "deployment.apps/ssa created" },
  {
    run: apply("other"),
    stdin: deployment(2),
    code: 1,
    err: [
      "error: Apply failed with 1 conflict: conflict with " +
        '"kubectl-client-side-apply" using apps/v1: .spec.replicas',
    ],
  },
  {
    run: ["apply", "--server-side", "-f", "-"],
    stdin: deployment(2),
    out: "deployment.apps/ssa serverside-applied",
  },
  {
    run: ["get", "deploy", "ssa", "--show-managed-fields", "-o", managers],
    has: ["kubectl=Apply"],
    hasNot: ["kubectl-client-side-apply"],
  },
  { run: "scale deploy ssa --replicas=0", out: "deployment.apps/ssa scaled" },
  {
    run: ["apply", "--server-side", "-f", "-"],
    stdin: deployment(1),
    code: 1,
    err: ['with subresource "scale" using apps/v1: .spec.replicas'],
  },
  { run: ["apply", "--server-side", "-f", "-"], stdin: deployment(undefined), has: ["applied"] },
  { run: "get deploy ssa -o jsonpath={.spec.replicas}", out: "0" },
  {
    run: apply("other"),
    stdin: deployment(undefined).replace('"template"', '"colour":"red","template"'),
    code: 1,
    err: ["failed to create typed patch object", ".spec.colour: field not declared in schema"],
  },
  { run: "delete deploy/ssa cm/ssa --wait=false", has: ["deleted"] },
];
