/** Whole numbers are kept to the last digit, or refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { askOf, sendTo } from "./test-http.ts";
import { openWorld, type World } from "./test-world.ts";

let world: World;
let ask: ReturnType<typeof askOf>;
beforeAll(async () => {
  world = await openWorld();
  ask = askOf(sendTo(world));
});
afterAll(() => world[Symbol.asyncDispose]());

const pods = "/api/v1/namespaces/default/pods";
const containers = '"containers":[{"name":"c","image":"i"}]';
const pod = (spec: string) =>
  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"spec":{${containers},${spec}}}`;

const refused: readonly (readonly [string, string])[] = [
  ["an int32 too large", '"priority":2147483648'],
  ["an int32 too small", '"priority":-2147483649'],
  ["an int64 too large", '"terminationGracePeriodSeconds":9223372036854775808'],
  ["an int64 too small", '"activeDeadlineSeconds":-9223372036854775809'],
  ["what would lose its last digit", '"terminationGracePeriodSeconds":9007199254740993'],
  ["a fraction", '"terminationGracePeriodSeconds":1.5'],
  ["a number in quotes", '"terminationGracePeriodSeconds":"30"'],
];
test.each(refused)("%s is refused", async (_name, spec) => {
  const answer = await ask("POST", pods, { body: pod(spec) });
  expect(answer).toMatchObject({ code: 400, reason: "BadRequest" });
});

test("the largest number that is exact is kept", async () => {
  const body = pod(`"terminationGracePeriodSeconds":${Number.MAX_SAFE_INTEGER}`);
  const { spec } = await ask("POST", pods, { body });
  expect(spec.terminationGracePeriodSeconds).toBe(Number.MAX_SAFE_INTEGER);
});

const versions = ["-1", "1e3", "0x10", "1.0", "99999999999999999999999"];
test.each(versions)("%s is no version", async (version) => {
  const answer = await ask("GET", pods, { query: `resourceVersion=${version}` });
  expect(answer).toMatchObject({ kind: "Status", code: 400 });
});
