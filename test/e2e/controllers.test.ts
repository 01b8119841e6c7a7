/** Controllers and scheduler through the real binary, on nodes that exist by name only. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { FakeKubelet } from "./fake-kubelet.ts";
import { absentMetrics, betaMetrics, stableElsewhere, stableMetrics } from "./stable-metrics.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: controllers: ${skip}`);

const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "web:1"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: "agent:1"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: "db:1"}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  replicas: 2
  selector: {app: old}
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: c, image: "old:1"}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  ttlSecondsAfterFinished: 3600
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: "sum:1"}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: broken}
spec:
  backoffLimit: 0
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: "sum:1", command: ["false"]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
`;

const policies = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: old}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: old}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: old}
spec:
  scaleTargetRef: {apiVersion: v1, kind: ReplicationController, name: old}
  minReplicas: 2
  maxReplicas: 5
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: count}
spec: {hard: {count/jobs.batch: "20", configmaps: "10"}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: shelf}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: late
  hostPath: {path: /nowhere}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: late}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: books}
spec: {accessModes: [ReadWriteOnce], storageClassName: late, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]
  volumes: [{name: v, persistentVolumeClaim: {claimName: books}}]
---
apiVersion: v1
kind: Pod
metadata: {name: giant}
spec: {containers: [{name: c, image: i, resources: {requests: {cpu: "100"}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: manual}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: manual}
subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{port: 80}]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: more-to-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}}
rules: [{apiGroups: [example.com], resources: [things], verbs: [get]}]
`;

describe.skipIf(skip !== undefined)("controllers", () => {
  let cluster: Cluster;
  let kubelet: FakeKubelet;

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.startWithoutAgent();
    kubelet = await FakeKubelet.start(cluster.kubeconfig, ["n1", "n2"]);
  });
  afterAll(async () => {
    await kubelet?.stop();
    await cluster?.destroy();
  });

  const untilPrints = (line: string, wanted: string) =>
    cluster.until(`kubectl ${line} prints ${wanted}`, async () => {
      return (await cluster.kubectl(line)).stdout.trim() === wanted;
    });

  test("every workload comes up", async () => {
    await cluster.run("apply -f -", workloads);
    const ready = "jsonpath={.status.readyReplicas}";
    await cluster.run("rollout status deployment/web daemonset/agent statefulset/db --timeout=30s");
    await untilPrints(`get rc old -o ${ready}`, "2");
    await cluster.run("wait job/sum --for=condition=Complete --timeout=30s");
    await cluster.run("wait job/broken --for=condition=Failed --timeout=30s");
    const names = await cluster.run(["get", "pods", "-l", "app=db", "-o", "name"]);
    expect(names.trim().split("\n")).toEqual(["pod/db-0", "pod/db-1", "pod/db-2"]);
    await untilPrints("get job sum -o jsonpath={.status.completedIndexes}", "0-3");
    const slices = "get endpointslice -l kubernetes.io/service-name=web -o";
    await untilPrints(
      `${slices} jsonpath={.items[*].endpoints[*].conditions.ready}`,
      "true true true",
    );
  });

  test("budgets, quotas, autoscalers, volumes and the rest say what is the case", async () => {
    await cluster.run("apply -f -", policies);
    const budget = "get pdb old -o jsonpath={.status";
    await untilPrints(`${budget}.expectedPods}{.status.disruptionsAllowed}`, "21");
    await untilPrints(
      "get hpa old -o jsonpath={.status.conditions[?(@.type=='ScalingActive')].reason}",
      "FailedGetResourceMetric",
    );
    await untilPrints("get quota count -o jsonpath={.status.used.configmaps}", "1");
    await cluster.run("wait pod/reader --for=condition=Ready --timeout=30s");
    await untilPrints("get pod reader -o jsonpath={.spec.nodeName}", "n2");
    await untilPrints("get pvc books -o jsonpath={.status.phase}{.spec.volumeName}", "Boundshelf");
    await untilPrints(
      "get pod giant -o jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}",
      "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: " +
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    );
    await untilPrints(
      "get endpointslice -l kubernetes.io/service-name=manual -o " +
        "jsonpath={.items[*].endpoints[*].addresses[0]}",
      "192.0.2.7",
    );
    await untilPrints(
      "get clusterrole view -o jsonpath={.rules[?(@.apiGroups[0]=='example.com')].resources[0]}",
      "things",
    );
    await cluster.run("delete pod reader giant --timeout=30s");
    await cluster.run("delete pvc books --timeout=30s");
    await untilPrints("get pv shelf -o jsonpath={.status.phase}", "Released");
  });

  test("a rollout, its undo, and a cascade", async () => {
    await cluster.run("set image deployment/web statefulset/db daemonset/agent c=new:2");
    await cluster.run("rollout status deployment/web daemonset/agent statefulset/db --timeout=30s");
    const image = "jsonpath={.items[*].spec.containers[*].image}";
    await untilPrints(`get pods -l app=web -o ${image}`, "new:2 new:2 new:2");
    for (const kind of ["deployment/web", "statefulset/db", "daemonset/agent"]) {
      await cluster.run(`rollout undo ${kind}`);
      await cluster.run(`rollout status ${kind} --timeout=30s`);
    }
    await untilPrints(`get pods -l app=db -o ${image}`, "db:1 db:1 db:1");
    await cluster.run("delete deployment web --cascade=foreground --timeout=30s");
    expect(await cluster.run("get pods -l app=web -o name")).toBe("");
    await cluster.run("delete statefulset db --cascade=orphan --timeout=30s");
    expect((await cluster.run("get pods -l app=db -o name")).trim().split("\n")).toHaveLength(3);
  });

  test("a namespace goes with all that is in it", async () => {
    await cluster.run("create namespace team");
    await cluster.run("create deployment web --image=i --replicas=2 -n team");
    await cluster.run("rollout status deployment/web -n team --timeout=30s");
    await cluster.run("delete namespace team --timeout=30s");
  });

  test("what upstream promises to tell of its work is told", async () => {
    const text = await cluster.run("get --raw /metrics");
    const told = new Set(Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name]) => name));
    const lacking = [...stableMetrics, ...betaMetrics].filter((name) => !told.has(name));
    expect(lacking).toEqual([]);
    expect(absentMetrics.filter((name) => told.has(name))).toEqual([]);
    const slis = await cluster.run("get --raw /metrics/slis");
    for (const name of stableElsewhere["/metrics/slis"] ?? []) expect(slis).toContain(`${name}{`);
    const count = (sample: string): number =>
      Number(
        text
          .split("\n")
          .find((line) => line.startsWith(sample))
          ?.split(" ")
          .at(-1) ?? 0,
      );
    const indexed = 'completion_mode="Indexed"';
    expect(count(`job_controller_job_pods_finished_total{${indexed},result="succeeded"}`)).toBe(4);
    expect(count("scheduler_pod_scheduling_attempts_count")).toBeGreaterThan(10);
    const ofPods = 'group="",resource="pods"';
    expect(count(`apiserver_storage_events_received_total{${ofPods}}`)).toBeGreaterThan(10);
    expect(count(`apiserver_watch_events_sizes_count{${ofPods},version="v1"}`)).toBeGreaterThan(10);
    const running = 'manager="kube-controller-manager",name="job"';
    expect(count(`running_managed_controllers{${running}}`)).toBe(1);
    const queued = 'workqueue_queue_duration_seconds_count{name="job"}';
    expect(count(queued)).toBeGreaterThan(5);
    const admit = 'name="NamespaceLifecycle",operation="CREATE",rejected="false",type="admit"';
    const name = "apiserver_admission_controller_admission_duration_seconds_count";
    expect(count(`${name}{${admit}}`)).toBeGreaterThan(10);
  });

  test("no controller was refused anything, and none lost its way", () => {
    const lines = cluster.log().split("\n");
    expect(lines.filter((line) => /User \\*"system:(serviceaccount|kube-)/.test(line))).toEqual([]);
    expect(lines.filter((line) => line.includes("cannot record event"))).toEqual([]);
    expect(lines.filter((line) => /^WARN.*reconcile failed/.test(line))).toEqual([]);
  });
});
