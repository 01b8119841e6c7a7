import { describe, expect, test } from "bun:test";
import { CelEnvironment, CelError } from "./environment.ts";
import { celFieldName, celOfJson, jsonOfCel } from "./values.ts";

const environment = new CelEnvironment({ object: "dyn", n: "int" });
const object = celOfJson({
  metadata: { name: "web", labels: { app: "a", "k8s.io/x": "1" } },
  spec: { replicas: 5, ratio: 0.5, list: [3, 1, 2], names: ["b", "a"] },
});

function value(expression: string): unknown {
  return environment.compile(expression).evaluate({ object, n: 2n });
}
function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof CelError) return error.message;
    throw error;
  }
  throw new Error("it was fine");
}

describe("expressions over JSON", () => {
  const truths = [
    "object.metadata.name == 'web'",
    "object.spec.replicas > 3 && object.spec.replicas < 5.5",
    "type(object.spec.replicas) == int && type(object.spec.ratio) == double",
    "has(object.spec.replicas) && !has(object.spec.absent)",
    "'app' in object.metadata.labels",
    "object.metadata.labels['k8s.io/x'] == '1'",
    "object.metadata.?labels.?absent.orValue('none') == 'none'",
    "object.spec.list.all(x, x > 0) && object.spec.list.exists_one(x, x == 3)",
    "object.spec.list.map(x, x * n) == [6, 2, 4]",
    "object.metadata.labels.exists(k, k.startsWith('k8s'))",
    "duration('90m') == duration('1h30m')",
    "timestamp('2026-01-01T00:00:00Z').getFullYear() == 2026",
  ];
  test.each(truths)("%s", (expression) => {
    expect(value(expression)).toBe(true);
  });
});

describe("Kubernetes' functions", () => {
  const truths = [
    // Strings, regular expressions, formats.
    "'hello'.charAt(1) == 'e' && 'aXbXc'.replace('X', '-') == 'a-b-c'",
    "'aXbXc'.replace('X', '-', 1) == 'a-bXc'",
    "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
    "' x '.trim() == 'x' && 'Ab'.lowerAscii() == 'ab' && 'abc'.reverse() == 'cba'",
    "'abc 123'.find('[0-9]+') == '123'",
    "'123 abc 456'.findAll('[0-9]+') == ['123', '456']",
    "'123 abc 456'.findAll('[0-9]+', 1) == ['123']",
    "'%s is %d and %.2f'.format(['x', 1, 2.5]) == 'x is 1 and 2.50'",
    "'%s'.format([[1, 'a']]) == '[1, a]'",
    "!format.dns1123Label().validate('web-1').hasValue()",
    "format.dns1123Label().validate('Web').hasValue()",
    "format.named('uuid').hasValue() && !format.named('nothing').hasValue()",
    // Lists and sets.
    "[1, 2, 2, 5].isSorted() && !['b', 'a'].isSorted()",
    "[1, 3].sum() == 4 && [1.5, 2.5].sum() == 4.0 && [2, 1].min() == 1 && [2, 1].max() == 2",
    "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(7) == -1",
    "[1, 2, 3].slice(1, 3) == [2, 3] && [3, 1].sort() == [1, 3] && [1, 1].distinct() == [1]",
    "[[1], [2]].flatten() == [1, 2]",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 2, 2], [2, 1])",
    "sets.intersects([1], [1, 2]) && !sets.intersects([1], [2])",
    // Quantities.
    "quantity('1Gi').isGreaterThan(quantity('500Mi')) && quantity('1000m') == quantity('1')",
    "quantity('50k').add(20).asInteger() == 50020 && quantity('-1').sign() == -1",
    "isQuantity('1.5Gi') && !isQuantity('1.5Gx') && quantity('1').compareTo(quantity('2')) == -1",
    // Addresses and URLs.
    "isIP('127.0.0.1') && !isIP('127.0.0.01') && ip('::1').isLoopback() && ip('::1').family() == 6",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').prefixLength() == 8",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && !isCIDR('10.0.0.0/33')",
    "isURL('https://a.b:80/c?d=e') && !isURL('nonsense')",
    "url('https://a.b:80/c?d=e').getHost() == 'a.b:80' && url('https://a.b:80/').getPort() == '80'",
    "url('https://a.b/c?d=e&d=f').getQuery()['d'] == ['e', 'f'] && url('/x').getScheme() == ''",
    // Versions.
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3').minor() == 2",
    "isSemver('v1.2', true) && !isSemver('v1.2')",
    "semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
  ];
  test.each(truths)("%s", (expression) => {
    expect(value(expression)).toBe(true);
  });
});

describe("what cannot be", () => {
  test("compiled is told where and why", () => {
    expect(failure(() => environment.compile("objekt.a == 1"))).toBe(
      "compilation failed: ERROR: <input>:1:1: undeclared reference to 'objekt' " +
        "(in container '')\n | objekt.a == 1\n | ^",
    );
    expect(failure(() => environment.compile("n + 'a'"))).toContain(
      "found no matching overload for '_+_' applied to '(int, string)'",
    );
    expect(failure(() => environment.compile("1 +"))).toContain(
      "ERROR: <input>:1:4: Syntax error:",
    );
    expect(failure(() => environment.compile("n", "bool"))).toBe("must evaluate to bool");
    expect(failure(() => environment.compile(" "))).toContain("empty");
  });

  test("evaluated is told in upstream's words", () => {
    expect(failure(() => value("object.spec.absent == 1"))).toBe("no such key: absent");
    expect(failure(() => value("1 / (n - 2) == 1"))).toBe("division by zero");
    expect(failure(() => value("9223372036854775807 + n == 1"))).toBe("integer overflow");
    expect(failure(() => value("quantity('x').isInteger()"))).toContain("quantities must match");
  });
});

test("values go there and back; fields have names that expressions can say", () => {
  const json = { a: 1, b: [1.5, "x", null, true], __proto__x: { c: {} } };
  expect(jsonOfCel(celOfJson(json))).toEqual(json);
  const names = ["name", "namespace", "my-field", "a.b/c", "x__y", "1st", "foo$"];
  expect(names.map(celFieldName)).toEqual([
    "name",
    "__namespace__",
    "my__dash__field",
    "a__dot__b__slash__c",
    "x__underscores__y",
    undefined,
    undefined,
  ]);
});
