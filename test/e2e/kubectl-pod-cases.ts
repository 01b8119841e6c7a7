/** What kubectl says about workloads and their running pods. */
import { testImage as image } from "./cluster.ts";
import type { Case } from "./kubectls.ts";

const sleeper = (grace: number): string => `terminationGracePeriodSeconds: ${grace}
      containers: [{name: main, image: "${image}", command: [sh, -c, "echo up; exec sleep 3600"]}]`;

const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "hello from {ns}\\n"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: httpd
        image: ${image}
        command: [httpd, -f, -v, -p, "8080", -h, /www]
        ports: [{containerPort: 8080, name: http}]
        env:
        - {name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        resources: {requests: {cpu: 5m, memory: 8Mi}, limits: {memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /www}]
      volumes: [{name: page, configMap: {name: page}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http, name: http}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: sts}
spec:
  serviceName: web
  selector: {matchLabels: {app: sts}}
  template:
    metadata: {labels: {app: sts}}
    spec:
      ${sleeper(0)}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec:
  selector: {matchLabels: {app: ds}}
  template:
    metadata: {labels: {app: ds}}
    spec:
      ${sleeper(0)}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: cj}
spec:
  schedule: 0 0 1 1 *
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: main, image: "${image}", command: [echo, from the job]}]
---
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {run: p}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: p, image: "${image}", env: [{name: X, value: one}],
     command: [sh, -c, "echo out; echo err >&2; while read line; do echo read \\"$line\\"; done"],
     stdin: true, tty: true}
  - {name: two, image: "${image}", command: [sh, -c, "echo from two; exec sleep 3600"]}
`;

const bad = (name: string, spec: string): string => `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {bad: "yes"}}
spec:
  terminationGracePeriodSeconds: 0
  ${spec}
`;
const container = (rest: string): string => `containers: [{name: c, ${rest}}]`;

/** Pods that cannot run, each in its own way. */
const badPods = [
  bad("crash", container(`image: "${image}", command: [sh, -c, "echo crashing; exit 2"]`)),
  bad("noimage", container(`image: "127.0.0.1:1/none:1"`)),
  bad("big", container(`image: "${image}", resources: {requests: {cpu: "1000"}}`)),
  bad("nocm", container(`image: "${image}", envFrom: [{configMapRef: {name: nosuch}}]`)),
  bad(
    "novol",
    `${container(`image: "${image}", volumeMounts: [{name: v, mountPath: /v}]`)}
  volumes: [{name: v, secret: {secretName: nosuch}}]`,
  ),
  bad(
    "init",
    `${container(`image: "${image}"`)}
  initContainers: [{name: i, image: "${image}", command: [sleep, "1000"]}]`,
  ),
  bad("nocmd", `restartPolicy: Never\n  ${container(`image: "${image}", command: [/nosuch]`)}`),
  bad(
    "sick",
    container(
      `image: "${image}", command: [sleep, "1000"], readinessProbe: {tcpSocket: {port: 99}}`,
    ),
  ),
].join("");

export const badCases: readonly Case[] = [
  {
    run: "get pods crash",
    has: ["crash 0/1 CrashLoopBackOff {number} ({age} ago) {age}"],
    until: true,
  },
  { run: "logs crash -p", out: "crashing", until: true },
  {
    run: "describe pod crash",
    has: [
      "State: Waiting\n Reason: CrashLoopBackOff\n Last State: Terminated\n Reason: Error\n Exit Code: 2",
      "Warning BackOff {any} kubelet {any}Back-off restarting failed container c in pod crash_{ns}({uid})",
    ],
    until: true,
  },
  { run: "get pods noimage", has: ["noimage 0/1 ImagePullBackOff 0 {age}"], until: true },
  {
    run: "describe pod noimage",
    has: [
      `Pulling image "127.0.0.1:1/none:1"`,
      `Failed to pull image "127.0.0.1:1/none:1": failed to pull and unpack image`,
      "Error: ErrImagePull",
      `Normal BackOff {any} Back-off pulling image "127.0.0.1:1/none:1"`,
    ],
    until: true,
  },
  { run: "logs noimage", code: 1, err: [`container "c" in pod "noimage" is waiting to start: `] },
  { run: "get pods big nocm -o wide", has: ["big 0/1 Pending 0 {age} <none> <none>"] },
  {
    run: "describe pod big",
    has: ["PodScheduled False", "0/1 nodes are available: 1 Insufficient cpu."],
  },
  { run: "logs big", out: "" },
  { run: "exec big -- ls", code: 1, err: ["pod big does not have a host assigned"] },
  {
    run: "get pods nocm init novol",
    has: [
      "nocm 0/1 CreateContainerConfigError 0",
      "init 0/1 Init:0/1 0",
      "novol 0/1 ContainerCreating 0",
    ],
    until: true,
  },
  { run: "describe pod nocm", has: [`Error: configmap "nosuch" not found`], until: true },
  {
    run: "describe pod novol",
    has: [`MountVolume.SetUp failed for volume "v" : secret "nosuch" not found`],
    until: true,
  },
  {
    run: "logs init -c c",
    code: 1,
    err: [`container "c" in pod "init" is waiting to start: PodInitializing`],
  },
  { run: "get pod nocmd", has: ["nocmd 0/1 StartError 0 {age}"], until: true },
  {
    run: "describe pod nocmd",
    has: [
      "Reason: StartError\n Message: failed to create containerd task:",
      "Exit Code: 128",
      "Error: failed to create containerd task:",
    ],
  },
  {
    run: "describe pod sick",
    has: ["Readiness probe failed: dial tcp {ip}:99: connect: connection refused"],
    until: true,
  },
  { run: "get pods -l bad=yes --field-selector=status.phase!=Running -o name", has: ["pod/big"] },
  { run: "delete pods -l bad=yes", has: [`pod "crash" deleted`, `pod "sick" deleted`] },
];

export const startCases: readonly Case[] = [
  { run: "apply -f -", stdin: manifest, has: ["deployment.apps/web created", "pod/p created"] },
  { run: "apply -f -", stdin: badPods, has: ["pod/crash created", "pod/sick created"] },
  {
    run: "rollout status deploy/web --timeout=60s",
    has: [`deployment "web" successfully rolled out`],
  },
  {
    run: "rollout status sts/sts --timeout=60s",
    has: ["complete"],
  },
  { run: "rollout status ds/ds --timeout=60s", has: [`daemon set "ds" successfully rolled out`] },
  { run: "wait pod/p --for=condition=Ready --timeout=60s", out: "pod/p condition met" },
  { run: "create job one --from=cronjob/cj", out: "job.batch/one created" },
  {
    run: "wait job/one --for=condition=Complete --timeout=60s",
    out: "job.batch/one condition met",
  },
];

export const showCases: readonly Case[] = [
  { run: "top pod p", has: ["p {number}m {number}Mi"], until: true },
  { run: "top pod p --containers", has: ["p two {number}m {number}Mi"], until: true },
  {
    run: "get pods -l app=web -o wide",
    has: [
      "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES\nweb-{name} 1/1 Running 0 {age} {ip} k3-e2e <none> <none>",
    ],
  },
  { run: "get pod p", out: "NAME READY STATUS RESTARTS AGE\np 2/2 Running 0 {age}" },
  {
    run: "get rs -o wide",
    has: [
      "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR\nweb-{name} 2 2 2 {age} httpd {any} app=web,pod-template-hash={name}",
    ],
  },
  { run: "get sts -o wide", out: `NAME READY AGE CONTAINERS IMAGES\nsts 1/1 {age} main ${image}` },
  {
    run: "get ds",
    out: "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE\nds 1 1 1 1 1 <none> {age}",
  },
  { run: "get jobs", has: ["NAME STATUS COMPLETIONS DURATION AGE\none Complete 1/1 {age} {age}"] },
  {
    run: "get endpointslices -l kubernetes.io/service-name=web",
    has: ["NAME ADDRESSTYPE PORTS ENDPOINTS AGE\nweb-{name} IPv4 8080 {ip},{ip} {age}"],
  },
  {
    run: "get controllerrevisions",
    has: [
      "NAME CONTROLLER REVISION AGE",
      "ds-{name} daemonset.apps/ds 1 {age}",
      "sts-{name} statefulset.apps/sts 1 {age}",
    ],
  },
  {
    run: "describe pod p",
    has: [
      "Service Account: default",
      "Node: k3-e2e/{ip}",
      "IPs:\n IP: {ip}",
      "Container ID: containerd://",
      "State: Running\n Started:",
      "Environment:\n X: one",
      "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-{name} (ro)",
      "PodReadyToStartContainers True",
      "TokenExpirationSeconds: 3607\n ConfigMapName: kube-root-ca.crt",
      "QoS Class: BestEffort",
      "node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
      "Normal Scheduled {age} default-scheduler Successfully assigned {ns}/p to k3-e2e",
      `Normal Pulled {age} kubelet {any}Container image "${image}" already present on machine`,
      "Normal Started {age} kubelet",
    ],
  },
  {
    run: "describe pods -l app=web",
    has: [
      "Controlled By: ReplicaSet/web-",
      "Readiness: http-get http://:http/ delay=0s timeout=1s period=1s #success=1 #failure=3",
      "Burstable",
    ],
  },
  {
    run: "describe deploy web",
    has: [
      "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
      "WHO: (v1:metadata.name)",
      "Available True MinimumReplicasAvailable\n Progressing True NewReplicaSetAvailable",
      "NewReplicaSet: web-{name} (2/2 replicas created)",
      "Normal ScalingReplicaSet {age} deployment-controller Scaled up replica set web-{name} from 0 to 2",
    ],
  },
  {
    run: "describe rs -l app=web",
    has: ["Controlled By: Deployment/web", "replicaset-controller Created pod: web-{name}"],
  },
  {
    run: "describe sts sts",
    has: [
      "Pods Status: 1 Running / 0 Waiting",
      "statefulset-controller create Pod sts-0 in StatefulSet sts successful",
    ],
  },
  {
    run: "describe ds ds",
    has: [
      "Annotations: deprecated.daemonset.template.generation: 1",
      "Desired Number of Nodes Scheduled: 1",
      "daemonset-controller Created pod: ds-",
    ],
  },
  {
    run: "describe job one",
    has: [
      "Controlled By: CronJob/cj",
      "Pods Statuses: 0 Active (0 Ready) / 1 Succeeded / 0 Failed",
      "Completed {age} job-controller Job completed",
    ],
  },
  {
    run: "describe svc web",
    has: ["TargetPort: http/TCP\nEndpoints: {ip}:8080,{ip}:8080", "Session Affinity: None"],
  },
  {
    run: "get events --field-selector involvedObject.name=p,reason=Started",
    has: ["LAST SEEN TYPE REASON OBJECT MESSAGE\n{age} Normal Started pod/p"],
  },
  {
    run: "get events --field-selector reason=Started -o wide",
    has: [
      "LAST SEEN TYPE REASON OBJECT SUBOBJECT SOURCE MESSAGE FIRST SEEN COUNT NAME\n",
      "spec.containers{p} kubelet, k3-e2e",
    ],
  },
  { run: "get events --sort-by=.lastTimestamp -o name", has: ["event/p."] },
  { run: "events --for pod/p", has: ["LAST SEEN TYPE REASON OBJECT MESSAGE", "Scheduled Pod/p"] },
  { run: "events --for pod/p --types=Warning", code: 0 },
];

export const logCases: readonly Case[] = [
  { run: "logs p", out: "out\nerr", err: [`Defaulted container "p" out of: p, two`] },
  { run: "logs p -c two", out: "from two" },
  { run: "logs p --all-containers", has: ["out\n", "from two"] },
  { run: "logs p --all-containers --prefix", has: ["[pod/p/p] out", "[pod/p/two] from two"] },
  { run: "logs p -c p --tail=1", out: "err" },
  { run: "logs p -c p --tail=0", out: "" },
  { run: "logs p -c two --timestamps", out: "{time} from two" },
  { run: "logs p -c two --since=1h", out: "from two" },
  { run: "logs p -c two --since-time=2100-01-01T00:00:00Z", out: "" },
  { run: "logs p -c two --limit-bytes=4", out: "from" },
  { run: "logs p -c nosuch", code: 1, err: ["container nosuch is not valid for pod p"] },
  { run: "logs nosuch", code: 1, err: [`pods "nosuch" not found`] },
  {
    run: "logs p -c two -p",
    code: 1,
    err: [`previous terminated container "two" in pod "p" not found`],
  },
  { run: "logs job/one", out: "from the job" },
  { run: "logs -f job/one", out: "from the job" },
  { run: "logs sts/sts", out: "up" },
  { run: "logs -l app=ds --tail=5", out: "up" },
  { run: "logs svc/web --tail=1", has: ["response:200"], until: true },
];

export const execCases: readonly Case[] = [
  {
    run: ["exec", "p", "-c", "two", "--", "sh", "-c", "echo out; echo err >&2; exit 7"],
    code: 7,
    out: "out",
    err: ["err", "command terminated with exit code 7"],
  },
  { run: ["exec", "p", "-c", "p", "--", "sh", "-c", "echo $X"], out: "one" },
  { run: "exec -i p -c two -- cat", stdin: "through stdin", out: "through stdin" },
  {
    run: ["exec", "-i", "p", "-c", "two", "--", "wc", "-c"],
    stdin: "x".repeat(300_000),
    out: "300000",
  },
  {
    run: "exec p -c two -- nosuch",
    code: "any",
    err: [`exec: "nosuch": executable file not found in $PATH`],
  },
  { run: "exec p -c nosuch -- ls", code: 1, err: ["container nosuch is not valid for pod p"] },
  { run: "exec nosuch -- ls", code: 1, err: [`pods "nosuch" not found`] },
  { run: ["exec", "deploy/web", "--", "sh", "-c", "echo $WHO"], out: "web-{name}" },
  { run: "exec svc/web -- wget -q -O - http://web", out: "hello from {ns}" },
  { run: "exec sts/sts -- hostname", out: "sts-0" },
  { run: "cp /nosuch p:/tmp/x -c two", code: 1, err: ["doesn't exist in local filesystem"] },
];

export const rolloutCases: readonly Case[] = [
  {
    run: "scale deploy/web --current-replicas=5 --replicas=1",
    code: 1,
    err: ["Expected replicas to be 5, was 2"],
  },
  { run: "scale deploy/web --current-replicas=2 --replicas=1", out: "deployment.apps/web scaled" },
  {
    run: "scale deploy/web deploy/nosuch --replicas=1",
    code: 1,
    out: "deployment.apps/web scaled",
    err: [`deployments.apps "nosuch" not found`],
  },
  {
    run: "annotate deploy web kubernetes.io/change-cause=first",
    out: "deployment.apps/web annotated",
  },
  { run: "set env deploy/web V=2", out: "deployment.apps/web env updated" },
  { run: "annotate deploy web kubernetes.io/change-cause=second --overwrite", has: ["annotated"] },
  { run: "rollout status deploy/web --timeout=60s", has: ["successfully rolled out"] },
  {
    run: "rollout history deploy/web",
    out: "deployment.apps/web\nREVISION CHANGE-CAUSE\n1 first\n2 second",
    until: true,
  },
  {
    run: "rollout history deploy/web --revision=2",
    has: ["deployment.apps/web with revision #2", "V: 2"],
  },
  {
    run: "rollout undo deploy/web --to-revision=99",
    code: 1,
    err: ["unable to find specified revision 99 in history"],
  },
  { run: "rollout undo deploy/web --to-revision=1", out: "deployment.apps/web rolled back" },
  { run: "rollout status deploy/web --timeout=60s", has: ["successfully rolled out"] },
  { run: "rollout pause deploy/web", out: "deployment.apps/web paused" },
  { run: "rollout pause deploy/web", code: 1, err: [`deployments.apps "web" is already paused`] },
  { run: "set env deploy/web V=3", out: "deployment.apps/web env updated" },
  { run: "rollout undo deploy/web", code: 1, err: ["you cannot rollback a paused deployment"] },
  { run: "rollout restart deploy/web", code: 1, err: ["can't restart paused deployment"] },
  {
    run: "rollout status deploy/web --watch=false",
    has: ["0 out of 1 new replicas have been updated"],
  },
  { run: "rollout resume deploy/web", out: "deployment.apps/web resumed" },
  { run: "rollout status deploy/web --timeout=60s", has: ["successfully rolled out"] },
  {
    run: "rollout restart deploy/web ds/ds sts/sts",
    out: "deployment.apps/web restarted\ndaemonset.apps/ds restarted\nstatefulset.apps/sts restarted",
  },
  { run: "rollout status deploy/web --timeout=60s", has: ["successfully rolled out"] },
  { run: "rollout status ds/ds --timeout=60s", has: ["successfully rolled out"] },
  { run: "rollout status sts/sts --timeout=60s", has: ["complete"] },
  {
    run: "rollout history ds/ds",
    has: ["daemonset.apps/ds\nREVISION CHANGE-CAUSE\n1 <none>\n2 <none>"],
  },
  { run: "rollout undo sts/sts", out: "statefulset.apps/sts rolled back" },
  { run: "rollout status sts/sts --timeout=60s", has: ["complete"] },
  { run: "get pods -l app=web --field-selector=status.phase=Running -o name", has: ["pod/web-"] },
];

export const runCases: readonly Case[] = [
  {
    run: [
      "run",
      "once",
      `--image=${image}`,
      "--rm",
      "-i",
      "-q",
      "--restart=Never",
      "--",
      "sh",
      "-c",
      "cat; exit 3",
    ],
    stdin: "piped",
    code: 3,
    has: ["piped"],
  },
  {
    run: [
      "run",
      "bg",
      `--image=${image}`,
      "--env=X=2",
      "--labels=run=bg,t=1",
      "--port=80",
      "--expose",
      "--restart=Never",
      "--",
      "sh",
      "-c",
      "echo $X; exec sleep 3600",
    ],
    out: "service/bg created\npod/bg created",
  },
  { run: `run bg --image=${image}`, code: 1, err: [`pods "bg" already exists`] },
  { run: `run dry --image=${image} --restart=OnFailure --dry-run=client -o name`, out: "pod/dry" },
  {
    run: "wait pod/bg --for=jsonpath={.status.phase}=Running --timeout=60s",
    out: "pod/bg condition met",
  },
  { run: "logs bg", out: "2", until: true },
  { run: `debug bg -q --image=${image} -c dbg --target=bg -- sleep 3600`, code: 0 },
  {
    run: "get pod bg -o jsonpath={.status.ephemeralContainerStatuses[0].state}",
    has: [`{"running":{"startedAt":"{time}"}}`],
    until: true,
  },
  { run: "exec bg -c dbg -- ps", has: ["sleep 3600"] },
  { run: "describe pod bg", has: ["Ephemeral Containers:\n dbg:", "Args:\n sh"] },
  {
    run: `debug bg --image=${image} --copy-to=copied -c dbg --share-processes -- sleep 3600`,
    code: 0,
  },
  {
    run: "get pod copied -o jsonpath={.spec.shareProcessNamespace}{.spec.containers[*].name}",
    out: "truebg dbg",
  },
  { run: `debug node/k3-e2e --image=${image} --profile=general -- true` },
  { run: "get pods -o name", has: ["pod/node-debugger-k3-e2e-"] },
];

export const endCases: readonly Case[] = [
  {
    run: "delete pod bg --force --grace-period=0",
    has: [`pod "bg" force deleted`],
    err: ["Warning: Immediate deletion does not wait"],
  },
  { run: "delete pod copied --now", has: [`pod "copied" deleted`] },
  { run: "delete deploy web --cascade=orphan", has: [`deployment.apps "web" deleted`] },
  { run: "get pods -l app=web -o name", has: ["pod/web-"] },
  { run: "delete rs -l app=web --cascade=foreground", has: [`replicaset.apps "web-`] },
  { run: "get pods -l app=web", err: ["No resources found"] },
  { run: "delete ds ds --wait=false", has: [`daemonset.apps "ds" deleted`] },
  { run: "wait pod -l app=ds --for=delete --timeout=60s", code: 0 },
  { run: "delete sts,svc --all", has: [`statefulset.apps "sts" deleted`, `service "web" deleted`] },
  { run: "delete pods --all --grace-period=1", has: [`pod "p" deleted`] },
];
