/** The life of pods: order of containers, hooks, probes, restarts, ends. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { apply, becomes, ended, events, field, lines, pod, shell, statusOf } from "./pods.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: pod life cycles: ${skip}`);

const shared = {
  volumeMounts: [{ name: "shared", mountPath: "/shared" }],
};
const sharedVolume = { volumes: [{ name: "shared", emptyDir: {} }] };
const note = (word: string): string => `echo ${word} >>/shared/log`;
/** Notes the begin, runs until it is told to end, notes the end. */
const untilTerm = (word: string): string =>
  `${note(word)}; trap '${note(`${word}-end`)}; exit 0' TERM; while :; do usleep 20000; done`;

const orderPod = pod("order", {
  ...sharedVolume,
  initContainers: [
    shell("first", note("first"), shared),
    shell("side", `${note("side")}; sleep 0.3; touch /tmp/up; ${untilTerm("side-up")}`, {
      ...shared,
      restartPolicy: "Always",
      startupProbe: { exec: { command: ["test", "-f", "/tmp/up"] }, periodSeconds: 1 },
    }),
    shell("side-two", untilTerm("side-two"), { ...shared, restartPolicy: "Always" }),
    shell("last", note("last"), shared),
  ],
  containers: [shell("main", `${note("main")}; sleep 0.5; cat /shared/log`, shared)],
});

const endDir = "/run/k3-e2e-end";
const endPod = pod("end-order", {
  terminationGracePeriodSeconds: 20,
  volumes: [{ name: "shared", hostPath: { path: endDir, type: "DirectoryOrCreate" } }],
  initContainers: [
    shell("side-one", untilTerm("side-one"), { ...shared, restartPolicy: "Always" }),
    shell("side-two", untilTerm("side-two"), { ...shared, restartPolicy: "Always" }),
  ],
  containers: [
    shell("main", untilTerm("main"), {
      ...shared,
      lifecycle: {
        preStop: {
          exec: { command: ["sh", "-c", `${note("hook")}; sleep 1; ${note("hook-end")}`] },
        },
      },
    }),
  ],
});

const hooksPod = pod("hooks", {
  containers: [
    shell("exec", "httpd -f -p 8080 -vv 2>&1", {
      lifecycle: { postStart: { exec: { command: ["sleep", "1"] } } },
    }),
    // Started after the first one and its hook, so that the server is there.
    shell("http", "exec sleep 1000", {
      lifecycle: {
        postStart: {
          httpGet: { path: "/started", port: 8080, httpHeaders: [{ name: "X-Test", value: "1" }] },
        },
      },
    }),
    shell("sleep", "sleep 1000", { lifecycle: { postStart: { sleep: { seconds: 1 } } } }),
  ],
});

const failingHookPod = pod("failing-hook", {
  restartPolicy: "Always",
  containers: [
    shell("main", "sleep 1000", {
      lifecycle: { postStart: { exec: { command: ["sh", "-c", "echo nope; exit 3"] } } },
    }),
  ],
});

const quick = { periodSeconds: 1, failureThreshold: 1 };
/** A busy machine is no reason to start a container again. */
const patient = { periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 30 };
const probesPod = pod("probes", {
  restartPolicy: "Always",
  containers: [
    shell("tcp", "sleep 2; exec httpd -f -p 7000", {
      readinessProbe: { tcpSocket: { port: 7000 }, ...quick },
    }),
    shell("http", "mkdir /w; cd /w; sleep 2; echo ok >healthy; exec httpd -f -p 7001", {
      ports: [{ containerPort: 7001, name: "web" }],
      startupProbe: { httpGet: { path: "/healthy", port: "web" }, ...patient },
      livenessProbe: { httpGet: { path: "/healthy", port: "web" }, ...patient },
    }),
    shell("exec", "sleep 1; touch /tmp/ok; sleep 3; rm /tmp/ok; exec sleep 1000", {
      livenessProbe: {
        exec: { command: ["cat", "/tmp/ok"] },
        ...quick,
        initialDelaySeconds: 2,
        terminationGracePeriodSeconds: 1,
      },
    }),
  ],
});

const deadlinePod = pod("deadline", {
  activeDeadlineSeconds: 12,
  containers: [shell("main", "exec sleep 1000")],
});

const crashPod = pod("crash", {
  restartPolicy: "Always",
  containers: [shell("main", "echo run; echo why >/dev/termination-log; exit 7")],
});

const onFailurePod = pod("on-failure", {
  ...sharedVolume,
  restartPolicy: "OnFailure",
  containers: [
    shell("main", "[ -f /shared/again ] && exit 0; touch /shared/again; exit 1", shared),
  ],
});

const messagesPod = pod("messages", {
  containers: [
    shell("file", "echo -n own words >/tmp/last", { terminationMessagePath: "/tmp/last" }),
    shell("logs", "echo from the log; exit 1", {
      terminationMessagePolicy: "FallbackToLogsOnError",
    }),
    shell("quiet", "echo not told; exit 0", { terminationMessagePolicy: "FallbackToLogsOnError" }),
  ],
});

const failedInitPod = pod("failed-init", {
  initContainers: [shell("bad", "exit 5")],
  containers: [shell("main", "echo never")],
});

const ephemeralPod = pod("target", {
  containers: [shell("main", "exec sleep 4321")],
});

const gatedPod = pod("gated", {
  readinessGates: [{ conditionType: "example.org/open" }],
  containers: [shell("main", "sleep 1000")],
});

describe.skipIf(skip !== undefined)("pod life cycles", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    rmSync(endDir, { recursive: true, force: true });
    cluster = new Cluster();
    await cluster.start();
    await apply(cluster, orderPod, endPod, hooksPod, failingHookPod, probesPod, deadlinePod);
    await apply(cluster, crashPod, onFailurePod, messagesPod, failedInitPod);
    await apply(cluster, ephemeralPod, gatedPod);
  });
  afterAll(async () => {
    await cluster?.destroy();
    rmSync(endDir, { recursive: true, force: true });
  });

  test("init containers and sidecars start in order, and the pod ends with its containers", async () => {
    await ended(cluster, "order");
    const said = (await cluster.run("logs order -c main")).trim().split("\n");
    expect(said).toEqual(["first", "side", "side-up", "side-two", "last", "main"]);
    const status = await statusOf(cluster, "order");
    const inits = status.initContainerStatuses ?? [];
    expect(inits.map((one) => one.state?.terminated?.exitCode)).toEqual([0, 0, 0, 0]);
    expect(inits.map((one) => one.ready)).toEqual([true, false, false, true]);
    const types = (status.conditions ?? []).map(({ type, status: s, reason }) => [type, s, reason]);
    expect(types).toContainEqual(["Ready", "False", "PodCompleted"]);
    expect(types).toContainEqual(["Initialized", "True", "PodCompleted"]);
  });

  test("postStart hooks run before the container counts as started", async () => {
    await becomes(cluster, "hooks", "{.status.phase}", "Running");
    await becomes(cluster, "hooks", "{.status.containerStatuses[*].started}", "true true true");
    expect(await cluster.run("logs hooks -c exec")).toContain("/started");
    const started = "{.status.containerStatuses[*].state.running.startedAt}";
    const times = (await field(cluster, "hooks", started)).split(" ");
    expect(times.toSorted()).toEqual(times);
    expect(times[0]).not.toBe(times[1]);
  });

  test("a failed postStart hook restarts the container and is told", async () => {
    await becomes(cluster, "failing-hook", "{.status.containerStatuses[0].restartCount}", /[1-9]/);
    await cluster.until("the failure is told", async () => {
      return /FailedPostStartHook.*PostStartHook failed/.test(
        await events(cluster, "failing-hook"),
      );
    });
  });

  test("probes make containers ready, started, and start them again", async () => {
    const of = (name: string): string => `{.status.containerStatuses[?(@.name=="${name}")]`;
    await becomes(cluster, "probes", `${of("tcp")}.ready}`, "true");
    await becomes(cluster, "probes", `${of("http")}.started}`, "true");
    await becomes(cluster, "probes", `${of("exec")}.restartCount}`, /[1-9]/);
    const told = await events(cluster, "probes");
    expect(told).toMatch(/Unhealthy.*Readiness probe failed: dial tcp .*:7000: .*refused/);
    expect(told).toMatch(/Unhealthy.*Startup probe failed: Get "http:\/\/.*:7001\/healthy": /);
    expect(told).toMatch(/Unhealthy.*Liveness probe failed: cat: can't open '\/tmp\/ok'/);
    expect(told).toMatch(/Killing.*Container exec failed liveness probe, will be restarted/);
    const statuses = (await statusOf(cluster, "probes")).containerStatuses ?? [];
    const byName = Object.fromEntries(statuses.map((one) => [one.name, one]));
    expect(byName.http?.restartCount).toBe(0);
    expect(byName.exec?.lastState?.terminated?.exitCode).toBe(137);
  });

  test("a pod older than its deadline fails", async () => {
    await becomes(cluster, "deadline", "{.status.phase}", "Failed");
    const status = await statusOf(cluster, "deadline");
    expect(status.reason).toBe("DeadlineExceeded");
    expect(status.message).toBe("Pod was active on the node longer than the specified deadline");
    await becomes(
      cluster,
      "deadline",
      "{.status.containerStatuses[0].state.terminated.exitCode}",
      "137",
    );
  });

  test("a container that ends again and again waits longer each time", async () => {
    const state = "{.status.containerStatuses[0].state.waiting}";
    await becomes(cluster, "crash", state, /CrashLoopBackOff/);
    await becomes(
      cluster,
      "crash",
      state,
      /back-off (20s|40s|1m20s) restarting failed container=main pod=crash_/,
    );
    const [status] = (await statusOf(cluster, "crash")).containerStatuses ?? [];
    expect(status?.lastState?.terminated).toMatchObject({
      exitCode: 7,
      reason: "Error",
      message: "why\n",
    });
    expect(await field(cluster, "crash", "{.status.phase}")).toBe("Running");
    expect(await events(cluster, "crash")).toContain(
      "Back-off restarting failed container main in pod crash_default",
    );
    expect(await cluster.run("logs crash --previous")).toBe("run\n");
  });

  test("what a restart policy, a failed init container and last words amount to", async () => {
    await ended(cluster, "on-failure");
    const restarts = "{.status.containerStatuses[0].restartCount}";
    expect(await field(cluster, "on-failure", restarts)).toBe("1");
    await becomes(cluster, "failed-init", "{.status.phase}", "Failed");
    const failed = await statusOf(cluster, "failed-init");
    expect(failed.containerStatuses?.[0]?.state?.waiting?.reason).toBe("PodInitializing");
    expect(failed.initContainerStatuses?.[0]?.state?.terminated?.exitCode).toBe(5);
    await becomes(cluster, "messages", "{.status.phase}", "Failed");
    const statuses = (await statusOf(cluster, "messages")).containerStatuses ?? [];
    const messages = statuses.map((one) => [one.name, one.state?.terminated?.message]);
    expect(Object.fromEntries(messages)).toEqual({
      file: "own words",
      logs: "from the log\n",
      quiet: undefined,
    });
  });

  test("readiness gates hold a pod back until somebody opens them", async () => {
    await becomes(cluster, "gated", "{.status.containerStatuses[0].ready}", "true");
    const ready = "{.status.conditions[?(@.type=='Ready')]['status','reason']}";
    await becomes(cluster, "gated", ready, "False ReadinessGatesNotReady");
    const condition = { type: "example.org/open", status: "True" };
    const body = JSON.stringify({ status: { conditions: [condition] } });
    await cluster.run(["patch", "pod", "gated", "--subresource=status", "-p", body]);
    await becomes(cluster, "gated", ready, "True");
  });

  test("an ephemeral container joins the processes of its target", async () => {
    await becomes(cluster, "target", "{.status.phase}", "Running");
    const container = shell("debugger", "ps -o args; echo done", {
      targetContainerName: "main",
    });
    const body = JSON.stringify({ spec: { ephemeralContainers: [container] } });
    const patch = ["patch", "pod", "target", "--subresource=ephemeralcontainers", "-p", body];
    await cluster.run(patch);
    await becomes(
      cluster,
      "target",
      "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}",
      "0",
    );
    expect(await cluster.run("logs target -c debugger")).toContain("sleep 4321");
    expect(await field(cluster, "target", "{.status.phase}")).toBe("Running");
  });

  test("containers end before their sidecars, the last sidecar first, hooks before all", async () => {
    await becomes(cluster, "end-order", "{.status.containerStatuses[0].ready}", "true");
    const begun = Date.now();
    await cluster.run("delete pod end-order --wait=true");
    expect(Date.now() - begun).toBeLessThan(10_000);
    const log = (await Bun.file(`${endDir}/log`).text()).trim().split("\n");
    expect(log).toEqual([
      ...["side-one", "side-two", "main"],
      ...["hook", "hook-end", "main-end", "side-two-end", "side-one-end"],
    ]);
  });

  test("grace is kept, and can be cut short", async () => {
    const deaf = shell("main", "trap '' TERM; while :; do usleep 50000; done");
    const spec = { terminationGracePeriodSeconds: 600, containers: [deaf] };
    await apply(cluster, pod("deaf", spec), pod("deaf-two", { ...spec }));
    await becomes(cluster, "deaf", "{.status.phase}", "Running");
    await becomes(cluster, "deaf-two", "{.status.phase}", "Running");
    await cluster.run("delete pod deaf deaf-two --wait=false");
    await becomes(cluster, "deaf", "{.metadata.deletionGracePeriodSeconds}", "600");
    await cluster.run("delete pod deaf --grace-period=1 --wait=true --timeout=20s");
    await cluster.run("delete pod deaf-two --grace-period=0 --force --wait=true --timeout=20s");
    await cluster.until("nothing of them runs", async () => {
      const running = await cluster.crictl("pods");
      return running.includes("target") && !running.includes("deaf");
    });
  });

  test("nothing was said to have gone wrong in the kubelet", async () => {
    await cluster.run("delete pod --all --wait=true --grace-period=1");
    const log = cluster.logTail(100_000);
    expect(log).not.toContain("Cannot sync a pod");
    expect(log).not.toContain("Cannot refresh a volume");
    expect(await lines(cluster, "absent").catch((error) => `${error}`)).toContain("NotFound");
  });
});
