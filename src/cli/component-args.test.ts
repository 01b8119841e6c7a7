import { expect, test } from "bun:test";
import { apiServerArgsOf } from "./apiserver-args.ts";
import { serverFlags } from "./flag-rows.ts";
import { completeFlags, parseArguments } from "./flags.ts";

function argsOf(...args: readonly string[]) {
  const given = args.map((one) => `--kube-apiserver-arg=${one}`);
  return apiServerArgsOf(
    completeFlags(serverFlags, parseArguments(serverFlags, given, "k3 server"), {}),
  );
}

test("componentArgsOf() fills in the component's defaults", () => {
  expect(argsOf()).toMatchObject({ "request-timeout": 60_000, "min-request-timeout": 1800 });
});

test("componentArgsOf() takes the last value of a name, with or without dashes", () => {
  const args = argsOf("request-timeout=30s", "--request-timeout=1m30s", "min-request-timeout=5");
  expect(args).toMatchObject({ "request-timeout": 90_000, "min-request-timeout": 5 });
});

test("componentArgsOf() refuses what is unknown or malformed, and says why", () => {
  const reject = (text: string, why: string) => expect(() => argsOf(text)).toThrow(why);
  const place = "Cannot use --kube-apiserver-arg=";
  reject("request-timeouts=1s", `${place}request-timeouts=1s: this version does not understand`);
  reject("request-timeouts=1s", "did you mean request-timeout?");
  reject("__proto__=1", 'does not understand the argument "__proto__"');
  reject("request-timeout=soon", 'time: invalid duration "soon"');
  reject("request-timeout=-1s", "it must not be negative");
  reject("min-request-timeout=1.5", "it must be a whole number, 0 or more");
});

test("apiServerArgsOf() keeps kube-apiserver's bounds", () => {
  expect(argsOf("goaway-chance=0.02")["goaway-chance"]).toBe(0.02);
  expect(() => argsOf("goaway-chance=0.03")).toThrow("it must be between 0 and 0.02");
  expect(argsOf("shutdown-send-retry-after")["shutdown-send-retry-after"]).toBe(true);
  const none = ["max-requests-inflight=0", "max-mutating-requests-inflight=0"] as const;
  expect(() => argsOf(...none)).toThrow("must not both be 0");
  expect(() => argsOf(...none, "enable-priority-and-fairness=false")).not.toThrow();
});
