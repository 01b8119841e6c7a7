/** Devices that a plugin offers: counted on the node, given to containers, and to one only. */
import { test } from "bun:test";
import { createClient } from "@connectrpc/connect";
import { openSocket } from "../../src/agent/cri/client.ts";
import { serveSocket } from "../../src/agent/devices/socket-server.ts";
import { DevicePlugin, Registration } from "../../src/gen/cri/deviceplugin_pb.ts";
import type { Cluster } from "./cluster.ts";
import { apply, becomes, ended, lines, pod, shell } from "./pods.ts";

const dir = "/var/lib/kubelet/device-plugins";
const resource = "example.com/widget";

async function servePlugin(): Promise<() => Promise<void>> {
  const over = Promise.withResolvers<void>();
  const close = await serveSocket(`${dir}/widget.sock`, (router) => {
    router.service(DevicePlugin, {
      listAndWatch: async function* () {
        yield { devices: [{ ID: "w", health: "Healthy" }] };
        await over.promise;
      },
      allocate: () => ({
        containerResponses: [
          {
            envs: { WIDGET: "w", SHADOWED: "by the pod" },
            devices: [{ containerPath: "/dev/widget", hostPath: "/dev/null", permissions: "rw" }],
            mounts: [{ containerPath: "/widget", hostPath: "/etc/hostname", readOnly: true }],
          },
        ],
      }),
    });
  });
  const { transport, close: hangUp } = openSocket(`${dir}/kubelet.sock`);
  const request = { version: "v1beta1", endpoint: "widget.sock", resourceName: resource };
  await createClient(Registration, transport).register(request);
  hangUp();
  return async () => {
    over.resolve();
    await close();
  };
}

export function deviceCases(cluster: () => Cluster): void {
  test("a device plugin's devices are given to one container at a time", async () => {
    const closePlugin = await servePlugin();
    const allocatable = async (): Promise<string> =>
      await cluster().run([
        "get",
        "node",
        "k3-e2e",
        "-o",
        "jsonpath={.status.allocatable.example\\.com/widget}",
      ]);
    const wants = (name: string, script: string) =>
      pod(name, {
        // Past the scheduler, which would leave the second one waiting.
        nodeName: "k3-e2e",
        containers: [
          shell("main", script, {
            env: [{ name: "SHADOWED", value: "kept" }],
            resources: { limits: { [resource]: 1 } },
          }),
        ],
      });
    try {
      await cluster().until("it is counted", async () => (await allocatable()) === "1");
      const look = "echo $WIDGET $SHADOWED; test -c /dev/widget && cat /widget >/dev/widget";
      await apply(cluster(), wants("widget", `${look} && echo used; exec sleep 1000`));
      await becomes(cluster(), "widget", "{.status.phase}", "Running");
      await cluster().until("it was used", async () => {
        return (await lines(cluster(), "widget")).join() === "w kept,used";
      });
      await apply(cluster(), wants("no-widget", "true"));
      await becomes(cluster(), "no-widget", "{.status.reason}", "UnexpectedAdmissionError");
      await becomes(
        cluster(),
        "no-widget",
        "{.status.message}",
        "Pod was rejected: Allocate failed due to requested number of devices unavailable for " +
          "example.com/widget. Requested: 1, Available: 0, which is unexpected",
      );
      await cluster().run("delete pod widget no-widget");
      await apply(cluster(), wants("widget-again", "true"));
      await ended(cluster(), "widget-again");
    } finally {
      await closePlugin();
    }
    await cluster().until("it is gone", async () => (await allocatable()) === "0");
  });
}
