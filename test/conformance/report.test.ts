import { describe, expect, test } from "bun:test";
import {
  compare,
  focusOf,
  mergeScore,
  readReport,
  renderBeyond,
  renderRun,
  renderScore,
} from "./report.ts";

const spec = (text: string, state: string, message?: string): unknown => ({
  LeafNodeType: "It",
  ContainerHierarchyTexts: ["[sig-apps] Job"],
  LeafNodeText: text,
  State: state,
  RunTime: 1_240_000_000,
  ...(message !== undefined && { Failure: { Message: message } }),
});

const report = JSON.stringify([
  {
    SpecReports: [
      {
        LeafNodeType: "BeforeSuite",
        ContainerHierarchyTexts: null,
        LeafNodeText: "",
        State: "passed",
      },
      spec("b works", "passed"),
      spec("a works", "failed", "Timed out\n  after 5 s.\n"),
      spec("c works", "timedout", "too slow"),
      spec("of another step", "skipped"),
      spec("never begun", "skipped"),
      spec("never ended", "timedout", "A suite timeout occurred"),
    ],
  },
]);
const wanted = new Set([
  "[sig-apps] Job a works",
  "[sig-apps] Job b works",
  "[sig-apps] Job c works",
  "[sig-apps] Job never begun",
  "[sig-apps] Job never ended",
]);
const results = readReport(report, wanted);

describe("a run's report", () => {
  test("only chosen tests count, in order, with the first words of a failure", () => {
    expect(results).toEqual([
      {
        name: "[sig-apps] Job a works",
        outcome: "failed",
        seconds: 1.2,
        error: "Timed out after 5 s.",
      },
      { name: "[sig-apps] Job b works", outcome: "passed", seconds: 1.2 },
      {
        name: "[sig-apps] Job c works",
        outcome: "failed",
        seconds: 1.2,
        error: "timedout: too slow",
      },
    ]);
  });

  test("a skipped test is not a passed one", () => {
    const [skipped] = readReport(
      JSON.stringify([{ SpecReports: [spec("a works", "skipped", "no node")] }]),
      wanted,
    );
    expect(skipped?.outcome).toBe("skipped");
    expect(mergeScore({ passed: [], failed: {} }, skipped ? [skipped] : []).failed).toEqual({
      "[sig-apps] Job a works": "skipped: no node",
    });
  });

  test("errors name images and files, not where they come from or lie", () => {
    const words = "cannot run /a/build/conformance/1-all/data/kubectl with reg.example.com/x/y:1";
    const [failed] = readReport(
      JSON.stringify([{ SpecReports: [spec("a works", "failed", words)] }]),
    );
    expect(failed?.error).toBe("cannot run data/kubectl with x/y:1");
  });

  test("a run of a part replaces only what it ran", () => {
    const before = {
      passed: ["[sig-apps] Job a works", "[sig-node] Pods d works"],
      failed: { "[sig-apps] Job b works": "broken" },
    };
    const change = compare(before, results);
    expect(change.mended).toEqual(["[sig-apps] Job b works"]);
    expect(change.broken).toEqual(["[sig-apps] Job a works"]);
    const after = mergeScore(before, results);
    expect(after.passed).toEqual(["[sig-apps] Job b works", "[sig-node] Pods d works"]);
    expect(Object.keys(after.failed)).toEqual(["[sig-apps] Job a works", "[sig-apps] Job c works"]);
    expect(renderRun("Run", results, change)).toContain("| sig-apps | 1 | 3 |");
  });

  test("the score names areas, steps and what was never run", () => {
    const ladder = {
      A: ["[sig-apps] Job a works", "[sig-node] Pods d works"],
      S: ["[sig-apps] Job b works"],
      R: [],
      twoNodes: [],
    };
    const text = renderScore(
      { passed: ["[sig-apps] Job b works"], failed: { "[sig-apps] Job a works": "`x` broke" } },
      ladder,
      "1.36.4",
    );
    expect(text).toContain("| sig-apps | 0 of 1 | 1 of 1 |  | 1 of 2 |");
    expect(text).toContain("1 tests have not been run yet.");
    expect(text).toContain("- [sig-apps] Job a works<br>`'x' broke`");
  });

  test("tests beyond conformance that skip themselves are no failures", () => {
    const names = ["a", "b", "c", "d"].map((name) => `[sig-apps] Job ${name} works`);
    const failed = { "[sig-apps] Job b works": "skipped: no cloud", "[sig-apps] Job c works": "x" };
    const text = renderBeyond({ passed: ["[sig-apps] Job a works"], failed }, names, "1.36.4");
    expect(text).toContain("| sig-apps | 1 | 1 | 1 | 4 |");
    expect(text).toEndWith("## Failing\n\n- [sig-apps] Job c works<br>`x`\n");
  });

  test("the focus selects whole names", () => {
    const focus = new RegExp(focusOf(["[sig-apps] Job a (works)"]));
    expect(focus.test("Kubernetes e2e suite [sig-apps] Job a (works)")).toBe(true);
    expect(focus.test("Kubernetes e2e suite [sig-apps] Job a (works) twice")).toBe(false);
  });
});
