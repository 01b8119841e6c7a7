import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import {
  ContainerEventResponseSchema,
  ContainerEventType,
  ContainerState,
  type ContainerStatusSchema,
  ImageService,
  PodSandboxState,
  RuntimeService,
} from "../../gen/cri/api_pb.ts";
import { realHost } from "../../runtime/host.ts";
import { createRuntime } from "../../runtime/real.ts";
import { CriCache } from "./cri-cache.ts";
import { criNames } from "./types.ts";

const { log } = createRuntime({ logLevel: "error" });
const labels = { [criNames.podUid]: "u", [criNames.podNamespace]: "n", [criNames.podName]: "p" };
const types = ContainerEventType;

/** A runtime with one pod, whose sandbox and container are as the test says. */
function runtimeOf() {
  const calls: string[] = [];
  const pod = {
    sandbox: PodSandboxState.SANDBOX_READY,
    container: ContainerState.CONTAINER_RUNNING,
    exitCode: 0,
    isThere: true,
  };
  const container = (): MessageInitShape<typeof ContainerStatusSchema> => {
    const { container: state, exitCode } = pod;
    return { id: "c", metadata: { name: "main" }, state, exitCode, labels };
  };
  const sandbox = () => ({
    id: "s",
    metadata: { uid: "u", name: "p", namespace: "n" },
    state: pod.sandbox,
    labels,
    network: { ip: pod.sandbox === PodSandboxState.SANDBOX_READY ? "10.42.0.9" : "" },
  });
  const transport = createRouterTransport(({ service }) => {
    service(RuntimeService, {
      listPodSandbox: () => {
        calls.push("list");
        return { items: pod.isThere ? [{ id: "s", state: pod.sandbox, labels }] : [] };
      },
      listContainers: () => {
        const one = { id: "c", podSandboxId: "s", state: pod.container, labels };
        return { containers: pod.isThere ? [one] : [] };
      },
      podSandboxStatus: () => ({ status: sandbox() }),
      containerStatus: () => {
        calls.push("containerStatus");
        return { status: container() };
      },
    });
  });
  const cri = {
    runtime: createClient(RuntimeService, transport),
    images: createClient(ImageService, transport),
    close: () => {},
  };
  const event = (containerEventType: ContainerEventType, containerId = "c") =>
    create(ContainerEventResponseSchema, {
      containerEventType,
      containerId,
      podSandboxStatus: sandbox(),
      containersStatuses: [container()],
    });
  return { calls, pod, event, cache: new CriCache(cri, realHost, log) };
}

test("the end of a container is taken from its event, and nothing brings it back", async () => {
  const { calls, pod, event, cache } = runtimeOf();
  await cache.read("u");
  const late = event(types.CONTAINER_STARTED_EVENT);
  Object.assign(pod, { container: ContainerState.CONTAINER_EXITED, exitCode: 3 });
  calls.length = 0;
  expect(await cache.apply("u", event(types.CONTAINER_STOPPED_EVENT))).toBe(true);
  expect(await cache.apply("u", late)).toBe(false);
  await cache.containerStopped("u", "c");
  expect((await cache.read("u")).containers).toMatchObject([{ state: "exited", exitCode: 3 }]);
  expect(calls).toEqual([]);
});

test("a container that was stopped is looked at when no event has told of it", async () => {
  const { calls, pod, cache } = runtimeOf();
  await cache.read("u");
  pod.container = ContainerState.CONTAINER_EXITED;
  calls.length = 0;
  await cache.containerStopped("u", "c");
  expect((await cache.read("u")).containers).toMatchObject([{ state: "exited" }]);
  expect(calls).toEqual(["containerStatus"]);
});

test("a sandbox that has stopped keeps its address", async () => {
  const { calls, pod, event, cache } = runtimeOf();
  await cache.read("u");
  Object.assign(pod, {
    container: ContainerState.CONTAINER_EXITED,
    sandbox: PodSandboxState.SANDBOX_NOTREADY,
  });
  calls.length = 0;
  await cache.apply("u", event(types.CONTAINER_STOPPED_EVENT, "s"));
  cache.sandboxStopped("u", "s");
  expect((await cache.read("u")).sandboxes).toMatchObject([{ ready: false, ips: ["10.42.0.9"] }]);
  expect(calls).toEqual([]);
});

test("a sandbox that stops under a running container is read again", async () => {
  const { calls, cache } = runtimeOf();
  await cache.read("u");
  calls.length = 0;
  cache.sandboxStopped("u", "s");
  await cache.read("u");
  expect(calls).toContain("list");
});

test("what was removed does not come back with late news", async () => {
  const { calls, event, cache } = runtimeOf();
  await cache.read("u");
  const late = event(types.CONTAINER_STOPPED_EVENT);
  calls.length = 0;
  expect(cache.removed("u", "c")).toBe(true);
  expect(await cache.apply("u", event(types.CONTAINER_DELETED_EVENT))).toBe(false);
  expect(await cache.apply("u", late)).toBe(false);
  expect(await cache.apply("u", event(types.CONTAINER_DELETED_EVENT, "s"))).toBe(true);
  expect(await cache.read("u")).toEqual({ sandboxes: [], containers: [] });
  expect(calls).toEqual([]);
});

test("a relist finds what no event has told of, and only that", async () => {
  const { pod, cache } = runtimeOf();
  await cache.read("u");
  expect((await cache.relist()).changed).toEqual([]);
  pod.container = ContainerState.CONTAINER_EXITED;
  expect((await cache.relist()).changed).toEqual(["u"]);
  await cache.read("u");
  expect((await cache.relist()).changed).toEqual([]);
  pod.isThere = false;
  expect((await cache.relist()).changed).toEqual(["u"]);
});
