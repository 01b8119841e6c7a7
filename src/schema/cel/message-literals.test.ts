import { expect, test } from "bun:test";
import { rewriteMessages } from "./message-literals.ts";

test.each([
  ["Object{}", "{}"],
  ["Object{spec: Object.spec{replicas: 3}}", '{"spec": {"replicas": 3}}'],
  ["Object { a : x.b, c: [1, f(y, z)] }", '{ "a" : x.b, "c": [1, f(y, z)] }'],
  [
    "[JSONPatch{op: 'add', path: '/a', value: {'k': v}}]",
    `[{"op": 'add', "path": '/a', "value": {'k': v}}]`,
  ],
  ["Object{a: b ? c : d, e: f}", '{"a": b ? c : d, "e": f}'],
  ["Object{?a: optional.of(1)}", '{?"a": optional.of(1)}'],
  ["Object{my__dash__label: 1, __namespace__: 2}", '{"my-label": 1, "namespace": 2}'],
  ["'Object{a: 1}' + r'\\{' + \"x\\\"Object{\"", "'Object{a: 1}' + r'\\{' + \"x\\\"Object{\""],
  ["{'a': Object.x{b: 1}}.a", "{'a': {\"b\": 1}}.a"],
  ["my.Object{a: 1}", "my.Object{a: 1}"],
  ["object.spec.list.map(x, Object.spec.list{name: x})", 'object.spec.list.map(x, {"name": x})'],
])("%s", (expression, rewritten) => {
  expect(rewriteMessages(expression)).toBe(rewritten);
});
