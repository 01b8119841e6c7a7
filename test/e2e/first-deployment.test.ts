/** The first promise of k3: a Deployment, a Service and a ConfigMap, driven by real kubectl. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip, testImage } from "./cluster.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: first deployment: ${skip}`);

const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "hello from k3\\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [httpd, -f, -v, -p, "8080", -h, /www]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /www}]
      volumes: [{name: page, configMap: {name: page}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
`;

describe.skipIf(skip !== undefined)("first deployment", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  test("kubectl apply brings three pods to Running", async () => {
    const said = await cluster.run("apply -f -", manifest);
    expect(said).toContain("deployment.apps/web created");
    const rollout = await cluster.run("rollout status deployment/web --timeout=60s");
    expect(rollout).toContain("successfully rolled out");
    const table = await cluster.run("get pods -l app=web -o wide");
    expect(table.match(/1\/1\s+Running\s+0\s/g)).toHaveLength(3);
  });

  test("a pod reaches the Service by its DNS name", async () => {
    const page = await cluster.run(
      "exec deploy/web -- wget -q -O - http://web.default.svc.cluster.local",
    );
    expect(page).toBe("hello from k3\n");
    expect(await cluster.run("exec deploy/web -- wget -q -O - http://web")).toBe("hello from k3\n");
  });

  test("logs shows what the container printed", async () => {
    await cluster.until("a request is logged", async () => {
      return (await cluster.run("logs -l app=web --tail=5")).includes("response:200");
    });
  });

  test("scale, restart and undo roll the pods", async () => {
    await cluster.run("scale deployment/web --replicas=1");
    await cluster.run("rollout status deployment/web --timeout=60s");
    const before = await cluster.run("get pods -l app=web -o name");
    await cluster.run("rollout restart deployment/web");
    await cluster.run("rollout status deployment/web --timeout=60s");
    await cluster.run("rollout undo deployment/web");
    await cluster.run("rollout status deployment/web --timeout=60s");
    expect(await cluster.run("get pods -l app=web -o name")).not.toBe(before);
    expect(await cluster.run("rollout history deployment/web")).toContain("REVISION");
  });

  test("pods live on when k3 is killed and started again", async () => {
    const uptime = "get pods -l app=web -o jsonpath={..containerID}{..restartCount}{..startedAt}";
    await cluster.until("the old pods are gone", async () => {
      return (await cluster.run("get pods -l app=web -o name")).trim().split("\n").length === 1;
    });
    const before = await cluster.run(uptime);
    await cluster.crash();
    await cluster.start();
    await cluster.run("rollout status deployment/web --timeout=60s");
    expect(await cluster.run(uptime)).toBe(before);
  });

  test("delete takes everything away", async () => {
    await cluster.run("delete -f - --wait=true", manifest);
    await cluster.until("no pod is left", async () => {
      return (await cluster.run("get pods -A -o name")).trim() === "";
    });
  });
});
