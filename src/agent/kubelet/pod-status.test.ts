import { expect, test } from "bun:test";
import type { ContainerState } from "./cri-state.ts";
import { podPhase } from "./pod-status.ts";

const ended = { state: { terminated: { exitCode: 0 } } };
const spec = {
  restartPolicy: "Never",
  initContainers: [{ name: "side", restartPolicy: "Always" }],
  containers: [{ name: "main" }],
};

function phase(before: string, side: ContainerState["state"]): string {
  const containers = [
    { id: "1", name: "main", state: "exited", exitCode: 0 },
    { id: "2", name: "side", state: side, exitCode: 0 },
  ];
  const facts = {
    pod: { metadata: {}, spec, status: { phase: before } },
    cri: { sandboxes: [], containers },
    failed: undefined,
    stopped: false,
    restarting: new Set(),
    restartCounts: new Map(),
    started: new Set(["2"]),
  };
  const isOver = side === "exited";
  const statuses = new Map([
    ["main", ended],
    ["side", isOver ? ended : { state: { running: {} } }],
  ]);
  return podPhase(facts as never, statuses as never);
}

test("a pod runs until its last sidecar has ended", () => {
  expect(phase("Running", "running")).toBe("Running");
  expect(phase("Running", "exited")).toBe("Succeeded");
});

test("an end that the API has seen stays", () => {
  expect(phase("Succeeded", "running")).toBe("Succeeded");
});
