import { expect, test } from "bun:test";
import { evaluateJsonPath, parseJsonPath } from "./jsonpath.ts";

const object = {
  metadata: { name: "a", labels: { "app.kubernetes.io/name": "web" } },
  spec: {
    replicas: 3,
    ports: [
      { port: 80, name: "http" },
      { port: 443, name: "https" },
    ],
  },
  status: {
    conditions: [
      { type: "Ready", status: "True" },
      { type: "Failed", status: "False" },
    ],
  },
};

function find(path: string): readonly unknown[] {
  return evaluateJsonPath(parseJsonPath(path), object);
}

test("paths lead to what they name", () => {
  const cases: Readonly<Record<string, readonly unknown[]>> = {
    ".spec.replicas": [3],
    "{.metadata.name}": ["a"],
    "$.metadata.name": ["a"],
    ".metadata.labels.app\\.kubernetes\\.io/name": ["web"],
    ".metadata.labels['app.kubernetes.io/name']": ["web"],
    ".spec.ports[0].port": [80],
    ".spec.ports[-1].port": [443],
    ".spec.ports[*].name": ["http", "https"],
    ".spec.ports[0,1].port": [80, 443],
    ".spec.ports[1:].port": [443],
    ".spec.ports[:-1].port": [80],
    '.status.conditions[?(@.type=="Ready")].status': ["True"],
    ".status.conditions[?(@.type != 'Ready')].status": ["False"],
    ".spec.ports[?(@.port > 100)].name": ["https"],
    ".spec.ports[?(@.missing)].name": [],
    "..port": [80, 443],
    ".missing.name": [],
    ".constructor": [],
    ".spec.ports[9]": [],
  };
  for (const [path, want] of Object.entries(cases)) {
    expect({ path, found: find(path) }).toEqual({ path, found: want });
  }
});

test("broken paths are refused", () => {
  for (const path of [".a[", ".a[x]", ".a[0:1:0]", ".a[]", ".a]", '.a[?(@.b=="c]']) {
    expect(() => parseJsonPath(path), path).toThrow("invalid JSONPath");
  }
});
