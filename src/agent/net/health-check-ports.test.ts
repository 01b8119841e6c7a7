import { afterAll, expect, test } from "bun:test";
import { createRuntime } from "../../runtime/real.ts";
import { HealthCheckPorts, healthChecked } from "./health-check-ports.ts";
import { servicePortRows } from "./service-ports.ts";
import { endpoint, service, slice } from "./testing/objects.ts";

const runtime = createRuntime({ logLevel: "error" });
const ports = new HealthCheckPorts(runtime, "0.0.0.0");
afterAll(() => ports.update([]));

async function freePort(): Promise<number> {
  const probe = await runtime.net.serve("127.0.0.1", 0, async () => new Response(null));
  probe.close();
  return probe.port;
}

test("a balancer learns whether a node has endpoints, until the service is gone", async () => {
  const port = await freePort();
  const local = service("a", {
    clusterIP: "10.43.0.5",
    type: "LoadBalancer",
    externalTrafficPolicy: "Local",
    healthCheckNodePort: port,
    ports: [
      { name: "x", port: 80 },
      { name: "y", port: 81 },
    ],
  });
  const slices = [
    slice(
      "a",
      [
        endpoint("10.42.0.2"),
        endpoint("10.42.0.3", { conditions: { ready: false } }),
        endpoint("10.42.1.4", { nodeName: "there" }),
      ],
      [{ name: "x", port: 8080, protocol: "TCP" }],
    ),
  ];
  const told = (name: string) =>
    healthChecked(servicePortRows([local], slices, { name, zone: "", family: "IPv4" }));
  expect(told("here")).toEqual([{ namespace: "default", name: "a", port, localEndpoints: 1 }]);
  const ask = async (): Promise<Response> => await fetch(`http://127.0.0.1:${port}/`);
  await ports.update(told("here"));
  const good = await ask();
  expect(good.status).toBe(200);
  expect(good.headers.get("x-load-balancing-endpoint-weight")).toBe("1");
  expect(await good.json()).toEqual({
    service: { namespace: "default", name: "a" },
    localEndpoints: 1,
    serviceProxyHealthy: true,
  });
  await ports.update(told("elsewhere"));
  expect((await ask()).status).toBe(503);
  await ports.update([]);
  await expect(ask()).rejects.toThrow();
});
