/** What kubectl says about objects that need no running pod: create, get, change, apply, delete. */
import type { Case } from "./kubectls.ts";

const image = "docker.io/library/none:1";
const yaml = (text: string): string => text.replace(/^\n/, "");

export const createCases: readonly Case[] = [
  {
    run: ["create", "deployment", "dep", `--image=${image}`, "--replicas=0", "--port=80"],
    out: "deployment.apps/dep created",
  },
  { run: `create deployment dep --image=${image}`, code: 1, err: [`"dep" already exists`] },
  {
    run: `create cronjob cj --image=${image} --restart=Never --schedule=0_0_1_1_* -- date`
      .split(" ")
      .map((word) => word.replaceAll("_", " ")),
    out: "cronjob.batch/cj created",
  },
  {
    run: ["create", "cronjob", "bad", `--image=${image}`, "--schedule=61 * * * *"],
    code: 1,
    err: [`CronJob.batch "bad" is invalid: spec.schedule: Invalid value: "61 * * * *"`],
  },
  {
    run: "create job j --from=cronjob/cj --dry-run=server -o jsonpath={.metadata.annotations}{.metadata.ownerReferences[0].kind}",
    out: `{"cronjob.kubernetes.io/instantiate":"manual"}CronJob`,
  },
  {
    run: `create job j --image=${image} --dry-run=server -o yaml -- echo hi`,
    has: ["completionMode: NonIndexed", "podReplacementPolicy: TerminatingOrFailed", "uid: {uid}"],
  },
  { run: `create job j --image=${image} --dry-run=client -o name`, out: "job.batch/j" },
  {
    run: "create configmap lit --from-literal=a=b --from-literal=c=d",
    out: "configmap/lit created",
  },
  {
    run: "create configmap file --from-file=k=/dev/stdin",
    stdin: "from a file",
    out: "configmap/file created",
  },
  { run: "get configmap file -o jsonpath={.data.k}", out: "from a file" },
  {
    run: "create configmap envs --from-env-file=/dev/stdin",
    stdin: "FOO=1\nBAR=2\n",
    out: "configmap/envs created",
  },
  { run: "get cm envs -o jsonpath={.data}", out: `{"BAR":"2","FOO":"1"}` },
  { run: "create secret generic gen --from-literal=p=w --type=x/y", out: "secret/gen created" },
  {
    run: "create secret docker-registry reg --docker-server=r.example --docker-username=u --docker-password=p",
    out: "secret/reg created",
  },
  { run: "create secret tls tls --cert=/dev/null --key=/dev/null", code: 1, err: ["{any}"] },
  {
    run: "get secrets gen reg",
    out: yaml(`
NAME TYPE DATA AGE
gen x/y 1 {age}
reg kubernetes.io/dockerconfigjson 1 {age}`),
  },
  {
    run: 'get secret reg -o go-template={{index_.data_".dockerconfigjson"|base64decode}}'
      .split(" ")
      .map((word) => word.replaceAll("_", " ")),
    out: `{"auths":{"r.example":{"username":"u","password":"p","auth":"dTpw"}}}`,
  },
  { run: "create serviceaccount bot", out: "serviceaccount/bot created" },
  { run: "get sa bot", out: "NAME AGE\nbot {age}" },
  { run: "create token bot --duration=1h", out: "ey{any}.ey{any}.{any}" },
  {
    run: "create token bot --audience=me --bound-object-kind=Secret --bound-object-name=gen",
    out: "ey{any}.ey{any}.{any}",
  },
  {
    run: "create token bot --duration=1s",
    code: 1,
    err: [
      `failed to create token: TokenRequest.authentication.k8s.io "" is invalid: ` +
        "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
    ],
  },
  {
    run: "create token nobody",
    code: 1,
    err: [`error: failed to create token: serviceaccounts "nobody" not found`],
  },
  {
    run: "create role reader --verb=get,list --resource=pods,deployments.apps --resource-name=one",
    out: "role.rbac.authorization.k8s.io/reader created",
  },
  {
    run: "create role bad --verb=get --resource=nosuch",
    code: 1,
    err: [`the server doesn't have a resource type "nosuch"`],
  },
  {
    run: "create rolebinding rb --role=reader --user=u --group=g --serviceaccount={ns}:bot",
    out: "rolebinding.rbac.authorization.k8s.io/rb created",
  },
  {
    run: "get rolebindings -o wide",
    out: "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS\nrb Role/reader {age} u g {ns}/bot",
  },
  {
    run: "create clusterrole cr-{id} --verb=get --non-resource-url=/foo",
    out: "clusterrole.rbac.authorization.k8s.io/cr-{id} created",
  },
  { run: "get clusterrole cr-{id}", out: "NAME CREATED AT\ncr-{id} {time}" },
  {
    run: "create clusterrole agg-{id} --aggregation-rule=a=b",
    out: "clusterrole.rbac.authorization.k8s.io/agg-{id} created",
  },
  {
    run: "create clusterrolebinding crb-{id} --clusterrole=cr-{id} --user=bob",
    out: "clusterrolebinding.rbac.authorization.k8s.io/crb-{id} created",
  },
  {
    run: "get clusterrolebinding crb-{id} -o wide",
    out: "NAME ROLE AGE USERS GROUPS SERVICEACCOUNTS\ncrb-{id} ClusterRole/cr-{id} {age} bob",
  },
  { run: "create quota q --hard=pods=200,limits.cpu=100", out: "resourcequota/q created" },
  {
    run: "create quota q --hard=pods=2",
    code: 1,
    err: [`error: failed to create quota: resourcequotas "q" already exists`],
  },
  {
    run: "create pdb pdb --selector=app=dep --min-available=50%",
    out: "poddisruptionbudget.policy/pdb created",
  },
  {
    run: "get pdb",
    out: "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE\npdb 50% N/A 0 {age}",
  },
  {
    run: "create ingress ing --rule=a.example/p*=svc:80,tls=sec --class=nginx --annotation=a=b",
    out: "ingress.networking.k8s.io/ing created",
  },
  {
    run: "get ingress",
    out: "NAME CLASS HOSTS ADDRESS PORTS AGE\ning nginx a.example 80, 443 {age}",
  },
  {
    run: "create priorityclass pc-{id} --value=1000 --description=d",
    out: "priorityclass.scheduling.k8s.io/pc-{id} created",
  },
  {
    run: "get pc pc-{id}",
    out: "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY\npc-{id} 1000 false {age} PreemptLowerPriority",
  },
  { run: "create namespace extra-{id}", out: "namespace/extra-{id} created" },
  { run: "get ns extra-{id}", out: "NAME STATUS AGE\nextra-{id} Active {age}" },
  { run: "create service clusterip cip --tcp=80:8080", out: "service/cip created" },
  { run: "create service clusterip headless --clusterip=None", out: "service/headless created" },
  { run: "create service nodeport np --tcp=80", out: "service/np created" },
  { run: "create service loadbalancer lb --tcp=80", out: "service/lb created" },
  {
    run: "create service externalname en --external-name=a.example",
    out: "service/en created",
  },
  {
    run: "get svc cip headless np en -o wide",
    out: yaml(`
NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR
cip ClusterIP {ip} <none> 80/TCP {age} app=cip
headless ClusterIP None <none> <none> {age} app=headless
np NodePort {ip} <none> 80:{number}/TCP {age} app=np
en ExternalName <none> a.example <none> {age} app=en`),
  },
  {
    run: "create -f -",
    stdin: "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: gen-}",
    out: "configmap/gen-{name} created",
  },
  {
    run: "create -f -",
    stdin: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndato: {}",
    code: 1,
    err: [`strict decoding error: unknown field "dato"`],
  },
  {
    run: "create --save-config -f -",
    stdin: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: saved}",
    out: "configmap/saved created",
  },
  {
    run: "create --raw /api/v1/namespaces/{ns}/configmaps -f -",
    stdin: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw"}}`,
    has: [`"name":"raw"`],
  },
];

export const getCases: readonly Case[] = [
  { run: "get nosuch", code: 1, err: [`the server doesn't have a resource type "nosuch"`] },
  {
    run: "get pods nosuch",
    code: 1,
    err: [`Error from server (NotFound): pods "nosuch" not found`],
  },
  { run: "get pods", err: ["No resources found in {ns} namespace."] },
  {
    run: "get cm lit nosuch",
    code: 1,
    has: ["lit 2 {age}"],
    err: [`configmaps "nosuch" not found`],
  },
  { run: "get cm nosuch --ignore-not-found", out: "" },
  { run: "get cm lit saved -o name", out: "configmap/lit\nconfigmap/saved" },
  { run: "get cm/lit secret/gen", has: ["NAME DATA AGE\nconfigmap/lit 2", "secret/gen x/y 1"] },
  {
    run: "get cm lit -o custom-columns=N:.metadata.name,A:.data.a,X:.data.x",
    out: "N A X\nlit b <none>",
  },
  {
    run: "get cm lit -o custom-columns-file=/dev/stdin",
    stdin: "N\n.metadata.name\n",
    out: "N\nlit",
  },
  { run: "get cm lit -o jsonpath={.data.a}{.data['c']}", out: "bd" },
  { run: "get cm lit -o jsonpath-as-json={.data}", has: [`"a": "b"`] },
  { run: "get cm lit -o json", has: [`"kind": "ConfigMap"`, `"creationTimestamp": "{time}"`] },
  { run: "get cm lit -o yaml", has: ["kind: ConfigMap", "uid: {uid}"] },
  { run: "get cm -o yaml", has: ["kind: List", `resourceVersion: ""`] },
  { run: "get cm --sort-by=.metadata.name -o name", has: ["configmap/lit\nconfigmap/raw"] },
  { run: "get cm --sort-by={.metadata.creationTimestamp} --no-headers", hasNot: ["NAME"] },
  { run: "get cm --chunk-size=2 -o name", has: ["configmap/envs\nconfigmap/file\n"] },
  { run: "label cm lit x=1 y=2", out: "configmap/lit labeled" },
  { run: "get cm -l x=1 -L x,y", out: "NAME DATA AGE X Y\nlit 2 {age} 1 2" },
  { run: "get cm -l x=1 --show-labels", out: "NAME DATA AGE LABELS\nlit 2 {age} x=1,y=2" },
  { run: ["get", "cm", "-o", "name", "-l", "x in (1,2),y!=3,!z"], out: "configmap/lit" },
  {
    run: "get cm -l ==",
    code: 1,
    err: [`found '==', expected: !, identifier, or 'end of string'`],
  },
  { run: "get cm --field-selector metadata.name=lit -o name", out: "configmap/lit" },
  {
    run: "get cm --field-selector foo=bar",
    code: 1,
    err: [
      `Unable to find "/v1, Resource=configmaps" that match label selector "", field selector ` +
        `"foo=bar": "foo" is not a known field selector: only "metadata.name", "metadata.namespace"`,
    ],
  },
  { run: "get pods --field-selector foo=bar", code: 1, err: ["field label not supported: foo"] },
  { run: "get cm -A --field-selector metadata.name=lit", has: ["NAMESPACE NAME DATA AGE\n"] },
  { run: "get sa,cm --show-kind", has: ["NAME AGE\nserviceaccount/bot", "configmap/lit 2 {age}"] },
  { run: "get cm lit --server-print=false", out: "NAME AGE\nlit {age}" },
  {
    run: "get all",
    has: [
      "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE\nservice/cip",
      "NAME READY UP-TO-DATE AVAILABLE AGE\ndeployment.apps/dep 0/0 0 0 {age}",
      "NAME DESIRED CURRENT READY AGE\nreplicaset.apps/dep-",
      "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE\ncronjob.batch/cj 0 0 1 1 * <none> False 0 <none> {age}",
    ],
    until: true,
  },
  {
    run: "get deploy dep -o wide",
    out: `NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\ndep 0/0 0 0 {age} none ${image} app=dep`,
  },
  {
    run: "get deploy dep --subresource=scale",
    out: "NAME DESIRED AVAILABLE AGE\ndep 0 0 {age}",
  },
  { run: "get deploy dep --subresource=status -o name", out: "deployment.apps/dep" },
  {
    run: "get endpoints headless",
    out: "NAME ENDPOINTS AGE\nheadless <none> {age}",
    err: ["Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"],
    until: true,
  },
  {
    run: "get cs",
    out: "NAME STATUS MESSAGE ERROR\ncontroller-manager Healthy ok\netcd-0 Healthy ok\nscheduler Healthy ok",
    err: ["Warning: v1 ComponentStatus is deprecated in v1.19+"],
  },
  {
    run: "get cm lit --watch --request-timeout=1s --output-watch-events",
    out: "EVENT NAME DATA AGE\nADDED lit 2 {age}",
    code: "any",
  },
  { run: "get --raw /api/v1/namespaces/{ns}", has: [`"kind":"Namespace"`] },
  { run: "get --raw /readyz?verbose", has: ["[+]ping ok", "readyz check passed"] },
  { run: "get --raw /livez/ping", out: "ok" },
  { run: "get --raw /healthz", out: "ok" },
  { run: "get --raw /version", has: [`"gitVersion":"v1.36.`] },
  {
    run: "get --raw /metrics",
    has: ["# TYPE apiserver_request_total counter", "process_resident_memory_bytes {number}"],
  },
  {
    run: "get --raw /nosuch",
    code: 1,
    err: ["Error from server (NotFound): the server could not find the requested resource"],
  },
];

const kinds = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-{id}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce, ReadOnlyMany]
  hostPath: {path: /tmp/none}
  storageClassName: sc-{id}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: pvc}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: other-{id}
  resources: {requests: {storage: 2Gi}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: sc-{id}}
provisioner: kubernetes.io/no-provisioner
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec:
  podSelector: {matchLabels: {app: dep}}
  ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: ic-{id}}
spec: {controller: example.com/c}
---
apiVersion: v1
kind: LimitRange
metadata: {name: lr}
spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 10Gi}}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: rc}
spec:
  replicas: 0
  selector: {app: rc}
  template:
    metadata: {labels: {app: rc}}
    spec: {containers: [{name: c, image: "none:1"}]}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: pt}
template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "none:1"}]}}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: rtc-{id}}
handler: runc
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: lease}
spec: {holderIdentity: me}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high-{id}}
value: 5
preemptionPolicy: Never
`;

/** Kinds that no generator makes. */
export const kindCases: readonly Case[] = [
  { run: "apply -f -", stdin: kinds, has: ["persistentvolume/pv-{id} created"] },
  {
    run: "get pv pv-{id} -o wide",
    has: [
      "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE\n",
      "pv-{id} 1Gi RWO,ROX Retain {any} sc-{id} <unset> {age} Filesystem",
    ],
  },
  {
    run: "get pvc -o wide",
    out: "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE\npvc Pending other-{id} <unset> {age} Filesystem",
  },
  {
    run: "get sc sc-{id}",
    out: "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE\nsc-{id} kubernetes.io/no-provisioner Delete Immediate false {age}",
  },
  { run: "get netpol", out: "NAME POD-SELECTOR AGE\nnp app=dep {age}" },
  {
    run: "get ingressclass ic-{id}",
    out: "NAME CONTROLLER PARAMETERS AGE\nic-{id} example.com/c <none> {age}",
  },
  { run: "get limits", out: "NAME CREATED AT\nlr {time}" },
  {
    run: "get rc -o wide",
    out: "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR\nrc 0 0 0 {age} c none:1 app=rc",
  },
  { run: "get podtemplates", out: "NAME CONTAINERS IMAGES POD LABELS\npt c none:1 a=b" },
  { run: "get runtimeclass rtc-{id}", out: "NAME HANDLER AGE\nrtc-{id} runc {age}" },
  { run: "get lease", out: "NAME HOLDER AGE\nlease me {age}" },
  {
    run: "get priorityclass high-{id}",
    out: "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY\nhigh-{id} 5 false {age} Never",
  },
  {
    run: "describe pv pv-{id}",
    has: ["Finalizers: [kubernetes.io/pv-protection]", "Access Modes: RWO,ROX", "Path: /tmp/none"],
  },
  {
    run: "describe pvc pvc",
    has: ["StorageClass: other-{id}\nStatus: Pending", "Used By: <none>"],
  },
  { run: "describe sc sc-{id}", has: ["IsDefaultClass: No", "ReclaimPolicy: Delete"] },
  {
    run: "describe netpol np",
    has: [
      "PodSelector: app=dep",
      "To Port: 80/TCP\n From:\n PodSelector: <none>\n From:\n IPBlock:\n CIDR: 10.0.0.0/8",
      "Not affecting egress traffic\n Policy Types: Ingress",
    ],
  },
  { run: "describe limits lr", has: ["PersistentVolumeClaim storage - 10Gi"] },
  { run: "describe rc rc", has: ["Replicas: 0 current / 0 desired"] },
  { run: "describe lease lease", has: ["Holder Identity: me"] },
  { run: "delete -f -", stdin: kinds, has: [`persistentvolume "pv-{id}" deleted`] },
];

export const describeCases: readonly Case[] = [
  // Older ones tell the data in any order.
  { run: "describe cm lit", has: ["Name: lit", "Data\n====", "a:\n----\nb", "Events: <none>"] },
  { run: "describe secret gen", has: ["Type: x/y", "p: 1 bytes"] },
  { run: "describe sa bot", has: ["Name: bot", "Image pull secrets: <none>"] },
  {
    run: "describe role reader",
    has: ["pods [] [one] [get list]", "deployments.apps [] [one] [get list]"],
  },
  { run: "describe rolebinding rb", has: ["Kind: Role\n Name: reader", "ServiceAccount bot {ns}"] },
  { run: "describe clusterrole cr-{id}", has: ["[/foo] [] [get]"] },
  { run: "describe clusterrolebinding crb-{id}", has: ["User bob"] },
  { run: "describe ns {ns}", has: ["Status: Active", "Resource Quotas\n Name: q"] },
  { run: "describe quota q", has: ["Name: q", "Resource Used Hard"] },
  { run: "describe pdb pdb", has: ["Min available: 50%", "Selector: app=dep"] },
  {
    run: "describe ingress ing",
    has: ["Ingress Class: nginx", "sec terminates a.example", `/p svc:80 (`, "Annotations: a: b"],
  },
  {
    run: "describe priorityclass pc-{id}",
    has: ["Value: 1000", "PreemptionPolicy: PreemptLowerPriority"],
  },
  {
    run: "describe svc np",
    has: [
      "Type: NodePort",
      "IP Family Policy: SingleStack",
      "IP Families: IPv4",
      "NodePort: 80 {number}/TCP",
      "External Traffic Policy: Cluster",
      "Events: <none>",
    ],
  },
  {
    run: "describe deploy dep",
    has: ["Replicas: 0 desired | 0 updated | 0 total", "25% max unavailable, 25% max surge"],
  },
  { run: "describe cronjob cj", has: ["Schedule: 0 0 1 1 *", "Concurrency Policy: Allow"] },
  {
    run: "describe node k3-e2e",
    has: [
      "Roles: control-plane",
      "HolderIdentity: k3-e2e",
      "Ready True",
      "InternalIP: {ip}",
      "Container Runtime Version: containerd://",
      "Allocated resources:",
      "Starting kubelet.",
      "RegisteredNode",
    ],
    until: true,
  },
  { run: "describe nosuch x", code: 1, err: [`doesn't have a resource type "nosuch"`] },
  { run: "describe cm nosuch", code: 1, err: [`configmaps "nosuch" not found`] },
  { run: "describe cm li", has: ["Name: lit"] },
];
