import { expect, test } from "bun:test";
import { mergeScore, renderScore } from "./score.ts";

const first = mergeScore({}, "helm", "Helm v4", [
  { name: "install", problem: undefined },
  { name: "upgrade", problem: "it\n  broke" },
  { name: "test", problem: undefined },
]);

test("mergeScore() keeps what was not run and renews what was", () => {
  expect(first).toEqual({
    helm: { title: "Helm v4", passed: ["install", "test"], failed: { upgrade: "it broke" } },
  });
  const next = mergeScore(first, "helm", "Helm v5", [
    { name: "upgrade", problem: undefined },
    { name: "install", problem: "x".repeat(500) },
  ]);
  expect(next.helm?.passed).toEqual(["test", "upgrade"]);
  expect(next.helm?.title).toBe("Helm v5");
  expect(next.helm?.failed.install).toHaveLength(301);
});

test("mergeScore() keeps the reason of what fails again", () => {
  const again = mergeScore(first, "helm", "Helm v4", [
    { name: "upgrade", problem: "line 7: false" },
    { name: "test", problem: "new" },
  ]);
  expect(again.helm?.failed).toEqual({ upgrade: "it broke", test: "new" });
});

test("renderScore() shows each suite, and what fails", () => {
  const text = renderScore({ ...first, envtest: { title: "envtest", passed: ["a"], failed: {} } });
  expect(text).toContain("| envtest | envtest | 1 of 1 |\n| helm | Helm v4 | 2 of 3 |");
  expect(text).toContain("## Failing: helm\n\n- upgrade<br>`it broke`");
  expect(text).not.toContain("## Failing: envtest");
});
