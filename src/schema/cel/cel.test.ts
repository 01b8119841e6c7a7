import { describe, expect, test } from "bun:test";
import { CelEnvironment, CelError, type CelFailure } from "./environment.ts";
import { CelAuthorizer } from "./library/authorization.ts";
import { celFieldName, celOfJson, fieldNameOf, jsonOfCel } from "./values.ts";

const environment = new CelEnvironment({ object: "dyn", n: "int", list: "list<int>" });
const object = celOfJson({
  metadata: { name: "web", labels: { app: "a", "k8s.io/x": "1" } },
  spec: { replicas: 5, ratio: 0.5, list: [3, 1, 2], names: ["b", "a"] },
});
const bindings = { object, n: 2n, list: [1n, 2n, 3n] };

function value(expression: string): unknown {
  return environment.compile(expression).run(bindings).value;
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
    "dyn({1: 'a'})[1.0] == 'a'",
    "timestamp('2026-03-01T00:00:00-01:30') == timestamp('2026-03-01T01:30:00Z')",
    "'aXbXc'.replace('X', '-', 1) == 'a-bXc' && 'ab'.replace('', '-') == '-a-b-'",
    "'😀x'.size() == 2 && '😀x'.charAt(1) == 'x' && '😀x'.indexOf('x') == 1",
  ];
  test.each(truths)("%s", (expression) => {
    expect(value(expression)).toBe(true);
  });
});

test("what is compiled is told with its type; what cannot be, where and why", () => {
  expect(environment.compile("[object.spec].map(x, [x])").type).toBe("list(list(dyn))");
  const refused = (expression: string): string => {
    try {
      environment.compile(expression);
    } catch (error) {
      if (error instanceof CelError) return `${error.stage} ${error.message}`;
    }
    return "";
  };
  expect(refused("n == 1 &&\n  objekt")).toBe(
    "compilation ERROR: <input>:2:3: undeclared reference to 'objekt' (in container '')\n" +
      " |   objekt\n | ..^",
  );
  expect(refused("'é' + n")).toEndWith(" | 'é' + n\n | .．..^");
  expect(refused("int('x') == n")).toBe(
    "instantiation type conversion error from 'string' to 'int'",
  );
  expect(refused("n == as")).toContain("reserved identifier: as");
});

describe("what could go on forever ends", () => {
  const costly = "lists.range(100000).all(x, lists.range(100000).all(y, x >= 0 && y >= 0))";
  test("by its cost, which nothing absorbs", () => {
    const began = performance.now();
    const program = environment.compile(`${costly} || true`);
    expect(() => program.run(bindings)).toThrow("operation cancelled: actual cost limit exceeded");
    expect(performance.now() - began).toBeLessThan(10_000);
  });
  test("by nesting, before it is followed", () => {
    const deep = `${"(".repeat(300)}1${")".repeat(300)}`;
    expect(() => environment.compile(deep)).toThrow("expression recursion limit exceeded: 250");
    expect(() => environment.compile(`1${" + 1".repeat(300)}`)).toThrow("recursion limit");
    expect(() => environment.compile(`n == 1${" && n == 1".repeat(3000)}`)).not.toThrow();
  });
  test("by length", () => {
    expect(() => environment.compile(`'${"a".repeat(100_000)}'`)).toThrow("exceeds limit");
  });
  test("by what it would make", () => {
    const doubled = (start: string, times: number): string => {
      const more = Array.from({ length: times }, (_, i) => `optMap(x${i}, x${i} + x${i})`);
      return `optional.of(${start}).${more.join(".")}.value().size() > 0`;
    };
    const large = `'a'.replace('', '${"b".repeat(40_000)}')`;
    const greedy = `'${"a".repeat(90_000)}'.findAll('a*b|a').size() > 0`;
    const began = performance.now();
    for (const expression of [
      doubled("[1, 2]", 60),
      doubled("'ab'", 60),
      `${large}.replace('b', ${large}).size() > 0`,
      "lists.range(100000000).size() > 0",
      greedy,
    ]) {
      const program = environment.compile(expression);
      expect(() => program.run(bindings)).toThrow(
        "operation cancelled: actual cost limit exceeded",
      );
    }
    expect(performance.now() - began).toBeLessThan(10_000);
  }, 20_000);
  test("or goes on in time that grows with its cost", () => {
    const count = 60_000;
    const began = performance.now();
    for (const expression of [
      `lists.range(${count}).map(x, x).size() == ${count}`,
      `lists.range(${count}).transformMap(i, v, v).size() == ${count}`,
    ]) {
      expect(environment.compile(expression).run(bindings).value).toBe(true);
    }
    expect(() => environment.compile("lists.range(50000).distinct()").run(bindings)).toThrow(
      "actual cost limit exceeded",
    );
    expect(performance.now() - began).toBeLessThan(3_000);
  });
  test("by regular expressions that never try again", () => {
    const text = `${"a".repeat(5_000)}!`;
    const program = environment.compile(`'${text}'.matches('^(a+)+$')`);
    expect(program.run(bindings).value).toBe(false);
  });
});

test("an answer that takes time is waited for, and asked for once", async () => {
  let asked = 0;
  const authority = {
    async ask({ verb }: { readonly verb: string }) {
      asked++;
      return { allowed: verb === "get", reason: `may ${verb}` };
    },
    serviceAccount: () => authority,
  };
  const own = new CelEnvironment({ authorizer: "kubernetes.authorization.Authorizer" });
  const check = "authorizer.group('apps').resource('deployments').namespace('a').check";
  const program = own.compile(`${check}('get').allowed() && ${check}('get').reason() == 'may get'`);
  const { value: isRight, cost } = await program.evaluate({
    authorizer: new CelAuthorizer(authority),
  });
  expect(isRight).toBe(true);
  expect(asked).toBe(1);
  expect(cost).toBeGreaterThanOrEqual(2 * 350_000);
  const more = own.compile(`${[1, 2, 3].map(() => `${check}('get').allowed()`).join(" && ")}`);
  const failed = more.evaluate({ authorizer: new CelAuthorizer(authority) });
  expect(failed).rejects.toThrow("actual cost limit exceeded");
});

test("a failure tells what it has cost", () => {
  try {
    environment.compile("list.all(x, object.absent > x)").run(bindings);
  } catch (error) {
    expect(error).toMatchObject({ message: "no such key: absent", isTooCostly: false });
    expect((error as CelFailure).cost).toBeGreaterThan(3);
    return;
  }
  throw new Error("it was fine");
});

test("values go there and back; fields have names that expressions can say", () => {
  const json = { a: 1, b: [1.5, "x", null, true], __proto__x: { c: {} } };
  expect(jsonOfCel(celOfJson(json))).toEqual(json);
  const names = ["name", "namespace", "my-field", "a.b/c", "x__y", "1st", "foo$"];
  const words = names.map(celFieldName);
  expect(words).toEqual([
    "name",
    "__namespace__",
    "my__dash__field",
    "a__dot__b__slash__c",
    "x__underscores__y",
    undefined,
    undefined,
  ]);
  expect(words.slice(0, 5).map((word) => fieldNameOf(word ?? ""))).toEqual(names.slice(0, 5));
});
