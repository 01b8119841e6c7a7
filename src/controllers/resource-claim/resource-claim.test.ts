import { describe, expect, test } from "bun:test";
import { pods, resourceClaims, resourceClaimTemplates } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { ResourceClaim } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { claimFinalizer, podClaimAnnotation } from "../../schema/pod-claims.ts";
import { World } from "../testing/world.ts";
import { generatedClaimName, planRelease } from "./plan.ts";
import { createResourceClaimController } from "./resource-claim.ts";

const allocation = { devices: { results: [] } };

class ClaimWorld extends World {
  readonly metrics = createMetrics();

  constructor() {
    super();
    this.run(createResourceClaimController(this.context, this.metrics));
  }

  async addTemplate(): Promise<void> {
    await this.client.create(resourceClaimTemplates, {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaimTemplate",
      metadata: { name: "t", namespace: "default" },
      spec: {
        metadata: { labels: { a: "b" } },
        spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "c" } }] } },
      },
    });
    await this.settle();
  }

  async addPod(claim: { resourceClaimName?: string; resourceClaimTemplateName?: string }) {
    const pod = await this.client.create<Pod>(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: { containers: [], resourceClaims: [{ name: "gpu", ...claim }] },
    } as unknown as Pod);
    await this.settle();
    return pod;
  }

  async addClaim(uid: string, more: Partial<ResourceClaim["metadata"]> = {}): Promise<void> {
    const claim = await this.client.create(resourceClaims, {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: { name: "mine", namespace: "default", finalizers: [claimFinalizer], ...more },
      spec: {},
    } as ResourceClaim);
    const reservedFor = [{ resource: "pods", name: "p", uid }];
    const status = { allocation, reservedFor };
    await this.client.update(resourceClaims, { ...claim, status }, { subresource: "status" });
    await this.settle();
  }

  get claims(): readonly DeepReadonly<ResourceClaim>[] {
    return this.list(resourceClaims);
  }

  async setPhase(phase: string): Promise<void> {
    const pod = await this.client.get(pods, "default", "p");
    const status = { ...pod.status, phase };
    await this.client.update(pods, { ...pod, status }, { subresource: "status" });
    await this.settle();
  }
}

describe("claims from templates", () => {
  test("are made for the pod, which is told their names", async () => {
    const world = new ClaimWorld();
    const pod = await world.addPod({ resourceClaimTemplateName: "t" });
    expect(world.claims).toEqual([]);
    expect(world.recorded[0]).toMatchObject({
      reason: "FailedResourceClaimCreation",
      message:
        'PodResourceClaim gpu: resource claim template "t": ' +
        'resourceclaimtemplate.resource.k8s.io "t" not found',
    });
    await world.addTemplate();
    const [claim] = world.claims;
    expect(claim).toMatchObject({
      metadata: {
        annotations: { [podClaimAnnotation]: "gpu" },
        labels: { a: "b" },
        ownerReferences: [
          { kind: "Pod", name: "p", uid: pod.metadata.uid ?? "", controller: true },
        ],
      },
      spec: { devices: { requests: [{ name: "r" }] } },
    });
    expect(claim?.metadata.name).toStartWith("p-gpu-");
    expect(world.get(pods, "default/p")?.status?.resourceClaimStatuses).toEqual([
      { name: "gpu", resourceClaimName: claim?.metadata.name ?? "" },
    ]);
    expect(world.metrics.text()).toContain(
      'resourceclaim_controller_creates_total{admin_access="false",status="success"} 1',
    );
    expect(world.metrics.text()).toContain('source="resource_claim_template"} 1');
  });

  test("one that was made before the status could tell is found again", async () => {
    const world = new ClaimWorld();
    await world.addTemplate();
    await world.addPod({ resourceClaimTemplateName: "t" });
    const pod = await world.client.get(pods, "default", "p");
    await world.client.update(pods, { ...pod, status: {} }, { subresource: "status" });
    await world.settle();
    expect(world.claims).toHaveLength(1);
    expect(world.get(pods, "default/p")?.status?.resourceClaimStatuses).toHaveLength(1);
  });

  test("are deleted when the pod is done", async () => {
    const world = new ClaimWorld();
    await world.addTemplate();
    await world.addPod({ resourceClaimTemplateName: "t" });
    await world.setPhase("Running");
    expect(world.claims).toHaveLength(1);
    await world.setPhase("Succeeded");
    expect(world.claims).toEqual([]);
  });

  test("long names are shortened alike", () => {
    expect(generatedClaimName("pod", "gpu")).toBe("pod-gpu-");
    const name = generatedClaimName("p".repeat(100), "c".repeat(50));
    expect(name).toBe(`${"p".repeat(37)}-${"c".repeat(18)}`);
  });
});

describe("reservations", () => {
  test("end with the pod: the claim is given back and may go", async () => {
    const world = new ClaimWorld();
    const pod = await world.addPod({ resourceClaimName: "mine" });
    await world.addClaim(pod.metadata.uid ?? "");
    expect(world.claims[0]?.status).toMatchObject({ allocation, reservedFor: [{ name: "p" }] });
    await world.client.delete(pods, "default", "p");
    await world.settle();
    expect(world.claims[0]?.status?.allocation).toBeUndefined();
    expect(world.claims[0]?.status?.reservedFor).toEqual([]);
    expect(world.claims[0]?.metadata.finalizers ?? []).toEqual([]);
  });

  test("of a pod that was replaced by another of its name end", async () => {
    const world = new ClaimWorld();
    await world.addPod({ resourceClaimName: "mine" });
    await world.addClaim("another uid");
    expect(world.claims[0]?.status?.reservedFor).toEqual([]);
  });

  test("are made for a pod that has its node from elsewhere", async () => {
    const world = new ClaimWorld();
    await world.addClaim("nobody", { finalizers: [] });
    const pod = await world.addPod({ resourceClaimName: "mine" });
    const bound = { ...pod, spec: { ...pod.spec, nodeName: "n" } };
    await world.client.update(pods, bound);
    await world.settle();
    expect(world.claims[0]?.status?.reservedFor).toEqual([
      { resource: "pods", name: "p", uid: pod.metadata.uid ?? "" },
    ]);
  });

  test("a deleted claim that nobody uses loses its allocation, then its finalizer", () => {
    const metadata = { deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [claimFinalizer] };
    const claim = { metadata, status: { allocation } } as unknown as ResourceClaim;
    expect(planRelease(claim, [])).toEqual({
      status: { reservedFor: [], keepsAllocation: false },
      dropsFinalizer: true,
    });
    const living = { ...claim, metadata: { finalizers: [claimFinalizer] } };
    expect(planRelease(living, [])).toEqual({ dropsFinalizer: false });
  });
});
