import { describe, expect, test } from "bun:test";
import { actuatedOf } from "./allocation.ts";
import type { ContainerState } from "./cri-state.ts";
import { type PodFacts, planPod } from "./plan-pod.ts";
import { planResize } from "./plan-resize.ts";
import { podResources } from "./resources.ts";
import type { Pod } from "./types.ts";

const sandbox = { id: "s", ready: true, createdMs: 0, attempt: 0, ips: ["10.42.0.2"] };

function pod(spec: Partial<Pod["spec"]>, metadata: Partial<Pod["metadata"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "n", uid: "u", ...metadata },
    spec: { containers: [{ name: "c" }], ...spec },
  };
}

function container(name: string, more: Partial<ContainerState> = {}): ContainerState {
  return {
    id: `${name}-id`,
    name,
    sandboxId: "s",
    state: "running",
    createdMs: 0,
    startedMs: 0,
    finishedMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
    image: "",
    imageId: "",
    restartCount: 0,
    hash: "",
    logPath: "",
    user: undefined,
    readOnlyTrees: [],
    resources: undefined,
    ...more,
  };
}

function facts(of: Pod, more: Partial<PodFacts> = {}): PodFacts {
  return {
    pod: of,
    removed: false,
    failed: undefined,
    cri: { sandboxes: [sandbox], containers: [] },
    nowMs: 100_000,
    volumes: "ready",
    condemned: new Map(),
    started: new Set(),
    starting: new Set(),
    backoffs: new Map(),
    restartCounts: new Map(),
    actuated: actuatedOf(of),
    cgroup: undefined,
    resize: undefined,
    restarting: new Set(),
    dispensable: false,
    hashes: new Map(),
    ...more,
  };
}

const running = (...containers: ContainerState[]): Partial<PodFacts> => ({
  cri: { sandboxes: [sandbox], containers },
});

const doing = (of: PodFacts): readonly string[] => planPod(of).steps.map((step) => step.do);

test("planPod() prepares volumes and the sandbox at the same time", () => {
  const fresh = { volumes: "none", cri: { sandboxes: [], containers: [] } } as const;
  expect(doing(facts(pod({}), fresh))).toEqual(["prepareVolumes", "createSandbox"]);
});

test("planPod() runs init containers in order before the others", () => {
  const two = pod({ initContainers: [{ name: "a" }, { name: "b" }] });
  const started = (of: PodFacts): readonly string[] =>
    planPod(of).steps.flatMap((step) =>
      step.do === "startContainer" ? [step.named.container.name] : [],
    );
  expect(started(facts(two))).toEqual(["a"]);
  expect(started(facts(two, running(container("a"))))).toEqual([]);
  const aDone = container("a", { state: "exited" });
  expect(started(facts(two, running(aDone)))).toEqual(["b"]);
  const bDone = container("b", { state: "exited" });
  expect(started(facts(two, running(aDone, bDone)))).toEqual(["c"]);
});

test("planPod() lets the rest start once a sidecar has started", () => {
  const side = pod({ initContainers: [{ name: "s", restartPolicy: "Always" }] });
  const alive = running(container("s"));
  expect(doing(facts(side, alive))).toEqual([]);
  expect(doing(facts(side, { ...alive, started: new Set(["s-id"]) }))).toEqual(["startContainer"]);
});

test("planPod() restarts at once, then waits in CrashLoopBackOff", () => {
  const dead = running(container("c", { state: "exited", exitCode: 1, finishedMs: 99_000 }));
  expect(doing(facts(pod({}), dead))).toEqual(["startContainer"]);
  const backoffs = new Map([["c", { delayMs: 10_000, sinceMs: 98_000 }]]);
  const plan = planPod(facts(pod({}), { ...dead, backoffs }));
  expect(plan.steps).toEqual([]);
  expect(plan.againInMs).toBe(9_000);
  const ahead = running(container("c", { state: "exited", exitCode: 1, finishedMs: 500_000 }));
  expect(planPod(facts(pod({}), { ...ahead, backoffs })).againInMs).toBe(10_000);
  expect(plan.waiting.get("c")).toEqual({
    reason: "CrashLoopBackOff",
    message: "back-off 10s restarting failed container=c pod=p_n(u)",
  });
});

test("planPod() ends a pod whose containers have ended for good", () => {
  const never = pod({ restartPolicy: "Never" });
  const dead = running(container("c", { state: "exited", exitCode: 1 }));
  expect(doing(facts(never, dead))).toEqual(["stopSandbox"]);
  const closed = { sandboxes: [{ ...sandbox, ready: false }], containers: [] };
  const ended: Pod = { ...never, status: { phase: "Failed" } };
  expect(doing(facts(ended, { cri: closed }))).toEqual(["cleanUp"]);
  expect(doing(facts(ended, { cri: closed, volumes: "gone" }))).toEqual([]);
});

test("planPod() ends a deleted pod: containers, sidecars, sandbox, volumes, object", () => {
  const going = pod(
    { initContainers: [{ name: "s", restartPolicy: "Always" }] },
    { deletionTimestamp: "2026-01-01T00:00:00Z" },
  );
  const names = (of: PodFacts): readonly string[] =>
    planPod(of).steps.flatMap((step) => (step.do === "killContainer" ? [step.name] : []));
  expect(names(facts(going, running(container("c"), container("s"))))).toEqual(["c"]);
  const dead = container("c", { state: "exited" });
  expect(names(facts(going, running(dead, container("s"))))).toEqual(["s"]);
  const closed = { cri: { sandboxes: [{ ...sandbox, ready: false }], containers: [dead] } };
  expect(doing(facts(going, closed))).toEqual(["cleanUp"]);
  const clean = { ...closed, volumes: "gone" } as const;
  expect(doing(facts(going, clean))).toEqual(["finalDelete"]);
  expect(doing(facts(going, { ...clean, removed: true }))).toEqual(["removeContainer"]);
});

test("planPod() kills what a probe condemned and what another definition started", () => {
  const alive = running(container("c", { hash: "old" }));
  const condemned = new Map([["c-id", "Container c failed liveness probe, will be restarted"]]);
  expect(doing(facts(pod({}), { ...alive, condemned }))).toEqual(["killContainer"]);
  const hashes = new Map([["c", "new"]]);
  expect(doing(facts(pod({}), { ...alive, hashes }))).toEqual(["killContainer"]);
});

test("planPod() makes a new sandbox when the old one died", () => {
  const cri = { sandboxes: [{ ...sandbox, ready: false }], containers: [] };
  expect(planPod(facts(pod({}), { cri })).steps).toEqual([{ do: "createSandbox", attempt: 1 }]);
});

test("planPod() removes a container that was created but never started, then starts anew", () => {
  const left = running(container("c", { state: "created" }));
  expect(doing(facts(pod({}), left))).toEqual(["removeContainer"]);
  expect(doing(facts(pod({}), { ...left, removed: true }))).toEqual(["removeContainer"]);
  expect(doing(facts(pod({}), { ...left, starting: new Set(["c"]) }))).toEqual([]);
});

describe("a resize", () => {
  const of = (cpu: string, memory: string, policy = "NotRequired"): Pod =>
    pod({
      restartPolicy: "OnFailure",
      containers: [
        {
          name: "c",
          resources: { requests: { cpu, memory }, limits: { cpu, memory } },
          resizePolicy: [{ resourceName: "memory", restartPolicy: policy }],
        },
      ],
    });
  const planned = (now: Pod, wanted: Pod, more: Partial<PodFacts>) => {
    const actuated = actuatedOf(now);
    const base = facts(wanted, { actuated, cgroup: podResources(now), ...more });
    return planPod({ ...base, resize: planResize(wanted, base.cri, actuated) });
  };

  test("changes a running container where it stands", () => {
    const plan = planned(of("1", "1Gi"), of("2", "2Gi"), running(container("c")));
    expect(plan.steps.map((step) => step.do)).toEqual(["resizePod"]);
  });

  test("ends the container first where its policy asks for a restart", () => {
    const wanted = of("1", "2Gi", "RestartContainer");
    const [now, before] = [running(container("c")), of("1", "1Gi", "RestartContainer")];
    const message = "Container c resize requires restart";
    const kill = { do: "killContainer", name: "c", message, restart: true };
    expect(planned(before, wanted, now).steps).toMatchObject([kill]);
    // Ended in good order: it starts again all the same, in a pod cgroup that fits it.
    const ended = { ...running(container("c", { state: "exited" })), nowMs: 0 };
    const restarting = new Set(["c-id"]);
    const plan = planned(before, wanted, { ...ended, restarting });
    expect(plan.steps.map((step) => step.do)).toEqual(["resizePod", "startContainer"]);
    const fits = { ...ended, restarting, cgroup: podResources(wanted) };
    expect(planned(before, wanted, fits).steps.map((step) => step.do)).toEqual(["startContainer"]);
  });

  test("of cpu alone needs no restart for memory's sake", () => {
    const [before, wanted] = [
      of("1", "1Gi", "RestartContainer"),
      of("2", "1Gi", "RestartContainer"),
    ];
    const plan = planned(before, wanted, running(container("c")));
    expect(plan.steps.map((step) => step.do)).toEqual(["resizePod"]);
  });

  test("gives back before it takes", () => {
    const two = (a: string, b: string): Pod =>
      pod({
        containers: [
          { name: "a", resources: { requests: { cpu: "1" }, limits: { memory: a } } },
          { name: "b", resources: { requests: { cpu: "1" }, limits: { memory: b } } },
        ],
      });
    const { cri } = facts(two("1Gi", "1Gi"), running(container("a"), container("b")));
    const resize = planResize(two("2Gi", "512Mi"), cri, actuatedOf(two("1Gi", "1Gi")));
    expect(resize?.memory.map(({ id }) => id)).toEqual(["b-id", "a-id"]);
    expect(resize?.cpu).toEqual([]);
  });
});
