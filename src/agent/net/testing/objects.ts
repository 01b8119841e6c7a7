/** Short ways to write the services and endpoint slices of a test. */
import type { Service, ServiceSpec } from "../../../gen/core-v1.ts";
import type { Endpoint, EndpointSlice } from "../../../gen/discovery-v1.ts";

export function service(name: string, spec: Partial<ServiceSpec>): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { ports: [{ port: 80, protocol: "TCP" }], ...spec },
  };
}

export function slice(
  name: string,
  endpoints: readonly Endpoint[],
  ports: EndpointSlice["ports"] = [{ port: 8080, protocol: "TCP" }],
): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-abcde`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": name },
    },
    addressType: "IPv4",
    endpoints: [...endpoints],
    ports,
  };
}

export function endpoint(ip: string, more: Partial<Endpoint> = {}): Endpoint {
  return { addresses: [ip], conditions: { ready: true }, nodeName: "here", ...more };
}
