/** Evaluations that are paused before every element come to what those do that are not. */
import { describe, expect, test } from "bun:test";
import { Turn } from "../../../lib/turns.ts";
import { CelEnvironment, CelFailure } from "../environment.ts";
import { Budget, evaluate } from "../policy/budget.ts";
import { PolicyExpressions } from "../policy/expressions.ts";
import { celOfJson } from "../values.ts";

/** By its clock every turn is over at once. */
class ShortTurn extends Turn {
  taken = 0;
  constructor() {
    let ms = 0;
    super({
      monotonicMs: () => {
        ms += 10;
        return ms;
      },
    });
  }
  override next(): Promise<void> {
    this.taken += 1;
    return super.next();
  }
}

const self = celOfJson({
  numbers: [3, 1, 2],
  texts: ["a", "b", "c"],
  items: [
    { name: "a", tags: ["x", "y"] },
    { name: "b", tags: [] },
  ],
  map: { a: 1, b: 2 },
});
const environment = new CelEnvironment({ self: "dyn" }, { hasBindings: true });

async function outcomeOf(work: () => unknown): Promise<unknown> {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof CelFailure)) throw failure;
    return { failure: failure.message, cost: failure.cost };
  }
}

describe("paused and not paused", () => {
  test.each([
    "self.numbers.all(x, self.numbers.exists(y, x == y))",
    "self.numbers.map(x, self.numbers.filter(y, y >= x).map(z, z * 2))",
    "self.items.map(i, i.tags.map(t, i.name + t))",
    "self.numbers.filter(x, x > 1).map(x, x + 1).all(x, x > self.numbers.map(y, y).size() - 3)",
    "self.map.map(k, self.map[k]) == self.map.map(k, self.map[k])",
    "self.items.exists_one(i, i.tags.exists(t, t == 'y'))",
    "self.map.transformMap(k, v, self.numbers.filter(n, n > v))",
    "self.numbers.exists(x, self.items[x].tags.all(t, t != '')) || self.texts.all(t, t < 'd')",
    "self.numbers.all(x, self.items[x].name == 'a')",
    "(self.numbers.all(x, self.items[x].name == '') || self.numbers.all(x, x > 0)) && " +
      "self.texts.all(t, self.texts.exists(u, t == u))",
    "cel.bind(all, self.numbers.map(x, x), all.map(x, all.map(y, x * y)))",
    "self.numbers.all(x, lists.range(1000).all(y, lists.range(1000).all(z, y + z >= x - 3)))",
  ])("%s", async (expression) => {
    const program = environment.compile(expression);
    const turn = new ShortTurn();
    const whole = await outcomeOf(() => program.run({ self }));
    const isLong = expression.includes("1000");
    const paused = isLong ? new Turn({ monotonicMs: () => performance.now() }) : turn;
    expect(await outcomeOf(() => program.evaluate({ self }, paused))).toEqual(whole);
    if (!isLong) expect(turn.taken).toBeGreaterThan(2);
  });
});

test("variables of a policy are paused too, and paid for once", async () => {
  const variables = [
    { name: "twice", expression: "object.numbers.map(x, x * 2)" },
    { name: "broken", expression: "object.numbers.map(x, object.numbers[x])" },
  ];
  const expressions = new PolicyExpressions({ hasParams: false }, variables);
  const text =
    "variables.twice.all(x, x > 1) && (variables.broken.size() > 0 || variables.twice.size() == 3)";
  const compile = () => expressions.compile(text, ["bool"], { hasAuthorizer: false });
  const spent = async (turn: ShortTurn | undefined) => {
    const costs: number[] = [];
    const budget = new (class extends Budget {
      override spend(cost: number): void {
        costs.push(cost);
        super.spend(cost);
      }
      override owe(cost: number): void {
        costs.push(cost);
        super.owe(cost);
      }
    })(turn);
    const bindings = expressions.bind({ object: self }, budget);
    return { value: await evaluate(text, compile, bindings, budget), costs };
  };
  const turn = new ShortTurn();
  const whole = await spent(undefined);
  expect(whole).toMatchObject({ value: true });
  expect(whole.costs).toHaveLength(3);
  expect(await spent(turn)).toEqual(whole);
  expect(turn.taken).toBeGreaterThan(5);
});

test("others have their turns while an expression takes long", async () => {
  const program = environment.compile(
    "lists.range(900).all(x, lists.range(900).all(y, x + y >= 0))",
  );
  let [turns, isDone] = [0, false];
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const turn = new Turn({ monotonicMs: () => performance.now() });
  await expect(program.evaluate({ self }, turn)).rejects.toThrow("actual cost limit exceeded");
  isDone = true;
  expect(turns).toBeGreaterThan(2);
});
