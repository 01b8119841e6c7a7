/** What extends the API, against the real binary: definitions, rules, policies, ranges. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Client, Resource } from "../../src/client/client.ts";
import { createHttpClient } from "../../src/client/http-client.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { customResourceDefinitions } from "../../src/client/resources.ts";
import type { CustomResourceDefinition } from "../../src/gen/apiextensions-v1.ts";
import { createRuntime } from "../../src/runtime/real.ts";
import type { KubeObject } from "../../src/schema/object.ts";
import { Cluster, reasonToSkip } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.warn(`Left out test/e2e/extensibility.test.ts: ${skip}`);

const rounds = 60;
const servedWithinMs = 100;

function definition(plural: string, spec: object): CustomResourceDefinition {
  const kind = `${plural.charAt(0).toUpperCase()}${plural.slice(1, -1)}`;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.e2e.example.com` },
    spec: {
      group: "e2e.example.com",
      scope: "Namespaced",
      names: { plural, kind },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", properties: { spec } } },
        },
      ],
    },
  } as unknown as CustomResourceDefinition;
}

function resourceOf({ spec }: CustomResourceDefinition): Resource<KubeObject> {
  const { group, names } = spec;
  return { group, version: "v1", plural: names.plural, kind: names.kind, namespaced: true };
}

function objectOf({ group, kind }: Resource<KubeObject>, name: string): KubeObject {
  return { apiVersion: `${group}/v1`, kind, metadata: { name, namespace: "default" } };
}

describe.skipIf(skip !== undefined)("extensions of the API", () => {
  const cluster = new Cluster();
  let client: Client;
  beforeAll(async () => {
    await cluster.startWithoutAgent();
    const runtime = createRuntime();
    const config = await loadKubeconfig(runtime.files, cluster.kubeconfig);
    client = createHttpClient({ runtime, ...config });
  }, 60_000);
  afterAll(() => cluster.destroy());

  /** Serves a new kind; answers how long it took from its acceptance on. */
  async function serve(crd: CustomResourceDefinition): Promise<number> {
    await client.create(customResourceDefinitions, crd);
    const accepted = performance.now();
    const resource = resourceOf(crd);
    for (;;) {
      try {
        await client.list(resource, "default");
        return performance.now() - accepted;
      } catch (error) {
        if (performance.now() - accepted > 10_000) throw error;
      }
    }
  }

  test("a kind is served at once, and its first object is never lost to a watch", async () => {
    const took: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const crd = definition(`firsts${round}s`, { type: "object" });
      took.push(await serve(crd));
      const resource = resourceOf(crd);
      const stop = new AbortController();
      const { resourceVersion } = await client.list(resource, "");
      const seen = (async () => {
        const events = client.watch(resource, "", { resourceVersion }, stop.signal);
        for await (const { type, object } of events) {
          return `${type} ${(object as KubeObject).metadata.name}`;
        }
        return "nothing";
      })();
      // The watch opens while the object is made.
      await client.create(resource, objectOf(resource, "first"));
      expect(await seen).toBe("ADDED first");
      stop.abort();
      const { items } = await client.list(resource, "");
      expect(items.map(({ metadata }) => metadata.name)).toEqual(["first"]);
    }
    const [median = 0] = took.sort((a, b) => a - b).slice(rounds / 2);
    console.log(`served after ${median.toFixed(0)} ms (median of ${rounds})`);
    expect(median).toBeLessThan(servedWithinMs);
  }, 120_000);

  test("rules are checked against types and costs; kubectl explains the rest", async () => {
    const rule = (text: string, spec: object) => {
      return { type: "object", properties: spec, "x-kubernetes-validations": [{ rule: text }] };
    };
    const create = async (plural: string, spec: object): Promise<string> => {
      const file = JSON.stringify(definition(plural, spec));
      const { stdout, stderr } = await cluster.kubectl("create -f -", file);
      return stdout + stderr;
    };
    const list = { type: "array", items: { type: "string" } };
    expect(await create("typos", rule("self.sise > 1", { size: { type: "integer" } }))).toContain(
      "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: " +
        'Invalid value: {"rule":"self.sise > 1"}: compilation failed: ERROR: <input>:1:5: ' +
        "undefined field 'sise'",
    );
    expect(
      await create("costlies", rule("self.l.all(x, self.l.all(y, x == y))", { l: list })),
    ).toContain("estimated rule cost exceeds budget by factor of more than 100x");
    const deep = { type: "object", description: "The tank.", properties: { fish: list } };
    expect(await create("tanks", rule("size(self.tank.fish) < 3", { tank: deep }))).toContain(
      "created",
    );
    await cluster.until("the kind is explained", async () => {
      const { stdout } = await cluster.kubectl("explain --recursive tanks.e2e.example.com");
      return /spec\s+<Object>\s+tank\s+<Object>\s+fish\s+<\[\]string>/.test(stdout);
    });
  });

  test("a policy warns, denies and tells in its status what cannot be right", async () => {
    const policy = (name: string, expression: string) => ({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicy",
      metadata: { name },
      spec: {
        matchConstraints: {
          resourceRules: [
            {
              operations: ["CREATE"],
              apiGroups: [""],
              apiVersions: ["v1"],
              resources: ["configmaps"],
            },
          ],
        },
        validations: [{ expression }],
      },
    });
    const binding = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingAdmissionPolicyBinding",
      metadata: { name: "small" },
      spec: { policyName: "small", validationActions: ["Warn"] },
    };
    await cluster.run("apply -f -", JSON.stringify(policy("small", "object.data.size() < 2")));
    await cluster.run("apply -f -", JSON.stringify(policy("odd", "object.dta.size() < 2")));
    await cluster.run("apply -f -", JSON.stringify(binding));
    await cluster.until("the policy warns", async () => {
      const line = "create configmap probe --from-literal=a=1 --from-literal=b=2";
      const { stderr } = await cluster.kubectl(`${line} --dry-run=server`);
      return stderr.includes("Warning: Validation failed for ValidatingAdmissionPolicy 'small'");
    });
    const path = "{.status.typeChecking.expressionWarnings[0].warning}";
    await cluster.until("the status tells of the wrong field", async () => {
      const { stdout } = await cluster.kubectl([
        "get",
        "validatingadmissionpolicy",
        "odd",
        "-o",
        `jsonpath=${path}`,
      ]);
      return stdout.startsWith("/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'dta'");
    });
    expect(
      await cluster.run("get validatingadmissionpolicy small -o jsonpath={.status}"),
    ).toContain('"observedGeneration":1');
  });

  test("cluster IPs come from a range that is added", async () => {
    const range = {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "more" },
      spec: { cidrs: ["10.66.0.0/24"] },
    };
    await cluster.run("apply -f -", JSON.stringify(range));
    await cluster.run("wait --for=condition=Ready servicecidr/more --timeout=10s");
    await cluster.run("create service clusterip extra --clusterip=10.66.0.9 --tcp=80");
    await cluster.until("the address is told of", async () => {
      const { stdout } = await cluster.kubectl("get ipaddress 10.66.0.9 -o name");
      return stdout.includes("10.66.0.9");
    });
    await cluster.run("delete servicecidr more --wait=false");
    await cluster.until("the range waits for its last address", async () => {
      const { stdout } = await cluster.kubectl("get servicecidr more -o yaml");
      return stdout.includes("There are still IPAddresses referencing the ServiceCIDR");
    });
    await cluster.run("delete service extra");
    await cluster.until("the range is gone", async () => {
      return (await cluster.kubectl("get servicecidr more")).stderr.includes("NotFound");
    });
  }, 120_000);
});
