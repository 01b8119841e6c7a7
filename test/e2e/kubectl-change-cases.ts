/** What kubectl says when it changes and deletes objects that need no running pod. */
import type { Case } from "./kubectls.ts";

const map = (name: string, rest = "{}"): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, labels: { prune: "yes" } },
    data: rest === "{}" ? {} : { a: rest },
  });
const deployment = (spec: object): string =>
  JSON.stringify({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "bad" }, spec });
const selector = { matchLabels: { a: "b" } };

export const changeCases: readonly Case[] = [
  { run: "label cm lit x=1", out: "configmap/lit not labeled" },
  {
    run: "label cm lit x=2",
    code: 1,
    err: ["'x' already has a value (1), and --overwrite is false"],
  },
  { run: "label cm lit x=2 --overwrite", out: "configmap/lit labeled" },
  { run: "label cm lit --list", has: ["x=2", "y=2"] },
  { run: "label cm lit x-", out: "configmap/lit unlabeled" },
  {
    run: ["label", "cm", "lit", "bad key=1"],
    code: 1,
    err: [`metadata.labels: Invalid value: "bad key": name part must consist of alphanumeric`],
  },
  { run: "label cm --all every=one", has: ["configmap/lit labeled", "configmap/raw labeled"] },
  { run: "annotate cm lit a=1", out: "configmap/lit annotated" },
  { run: "annotate cm lit a=2", code: 1, err: ["--overwrite is false but found the following"] },
  { run: "annotate cm lit a=2 --overwrite", out: "configmap/lit annotated" },
  { run: "annotate cm lit a-", out: "configmap/lit annotated" },
  { run: ["patch", "cm", "lit", "-p", `{"data":{"a":"s"}}`], out: "configmap/lit patched" },
  {
    run: ["patch", "cm", "lit", "--type=merge", "-p", `{"data":{"c":null}}`],
    out: "configmap/lit patched",
  },
  {
    run: ["patch", "cm", "lit", "--type=merge", "-p", "{}"],
    out: "configmap/lit patched (no change)",
  },
  {
    run: [
      "patch",
      "cm",
      "lit",
      "--type=json",
      "-p",
      `[{"op":"test","path":"/data/a","value":"s"}]`,
    ],
    out: "configmap/lit patched (no change)",
  },
  {
    run: ["patch", "cm", "lit", "--type=json", "-p", `[{"op":"remove","path":"/data/zz"}]`],
    code: 1,
    err: ["The request is invalid: the server rejected our request due to an error in our request"],
  },
  { run: "get cm lit -o jsonpath={.data}", out: `{"a":"s"}` },
  {
    run: [
      "patch",
      "deploy",
      "dep",
      "--subresource=scale",
      "--type=merge",
      "-p",
      `{"spec":{"replicas":0}}`,
    ],
    has: ["patched"],
  },
  {
    run: [
      "patch",
      "deploy",
      "dep",
      "-p",
      `{"spec":{"selector":{"matchLabels":{"b":"c","a":"b"}}}}`,
    ],
    code: 1,
    err: [
      `spec.selector: Invalid value: {"matchLabels":{"a":"b","app":"dep","b":"c"}}: field is immutable`,
    ],
  },
  {
    run: "set subject rolebinding rb --user=w",
    out: "rolebinding.rbac.authorization.k8s.io/rb subjects updated",
  },
  { run: "set selector svc np a=b", out: "service/np selector updated" },
  { run: "set image deploy/dep none=other:1", out: "deployment.apps/dep image updated" },
  {
    run: "set image deploy/dep nosuch=other:1",
    code: 1,
    err: [`unable to find container named "nosuch"`],
  },
  { run: "set env deploy/dep A=b", out: "deployment.apps/dep env updated" },
  { run: "set env deploy/dep --list", has: ["A=b"] },
  {
    run: "set env deploy/dep --from=configmap/lit --prefix=P_",
    out: "deployment.apps/dep env updated",
  },
  { run: "set env deploy/dep A-", out: "deployment.apps/dep env updated" },
  {
    run: "set resources deploy/dep --limits=memory=64Mi --requests=cpu=5m",
    out: "deployment.apps/dep resource requirements updated",
  },
  { run: "set sa deploy/dep bot", out: "deployment.apps/dep serviceaccount updated" },
  {
    run: "set resources deploy/dep --requests=memory=1Gi",
    code: 1,
    err: [`must be less than or equal to memory limit of 64Mi`],
  },
  { run: "autoscale deploy dep --min=1 --max=3 --cpu-percent=80", has: ["autoscaled"] },
  {
    run: "get hpa dep",
    out: "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE\ndep Deployment/dep cpu: <unknown>/80% 1 3 {number} {age}",
  },
  {
    run: "describe hpa dep",
    has: ["Reference: Deployment/dep", "Min replicas: 1", "<unknown> / 80%"],
  },
  { run: "delete hpa dep", has: [`horizontalpodautoscaler.autoscaling "dep" deleted`] },
  {
    run: "expose deploy dep --port=80 --target-port=8080 --name=exposed",
    out: "service/exposed exposed",
  },
  {
    run: "edit cm lit",
    env: { KUBE_EDITOR: "sed -i s/a:.s/a:\\ edited/" },
    out: "configmap/lit edited",
  },
  { run: "get cm lit -o jsonpath={.data.a}", out: "edited" },
  { run: "edit cm lit", env: { KUBE_EDITOR: "true" }, err: ["Edit cancelled, no changes made."] },
  {
    run: "edit deploy dep",
    env: { KUBE_EDITOR: "sed -i s/replicas:.0/replicas:\\ -1/" },
    code: 1,
    err: [`deployments.apps "dep" is invalid`, "Edit cancelled, no valid changes were saved."],
  },
];

export const applyCases: readonly Case[] = [
  {
    run: "apply -f -",
    stdin: `{"kind":"List","apiVersion":"v1","items":[${map("one", "1")},${map("two")}]}`,
    out: "configmap/one created\nconfigmap/two created",
  },
  { run: "apply -f -", stdin: map("one", "1"), out: "configmap/one unchanged" },
  { run: "diff -f -", stdin: map("one", "1"), out: "" },
  { run: "diff -f -", stdin: map("one", "2"), code: 1, has: [`- a: "1"`, `+ a: "2"`] },
  { run: "apply -f -", stdin: map("one", "2"), out: "configmap/one configured" },
  {
    run: "apply -f - --dry-run=server",
    stdin: map("one", "3"),
    out: "configmap/one configured (server dry run)",
  },
  {
    run: "apply -f - --prune -l prune=yes --prune-allowlist=core/v1/ConfigMap",
    stdin: map("one", "2"),
    out: "configmap/one unchanged\nconfigmap/two pruned",
  },
  { run: "apply view-last-applied cm one", has: [`a: "2"`] },
  { run: "apply set-last-applied -f -", stdin: map("one", "9"), out: "configmap/one configured" },
  {
    run: "apply edit-last-applied cm one",
    env: { KUBE_EDITOR: "sed -i s/9/10/" },
    has: ["configmap/one"],
  },
  { run: "apply view-last-applied cm one -o json", has: [`"a": "10"`] },
  { run: "apply view-last-applied cm raw", out: "" },
  {
    run: "apply -f - --dry-run=server",
    stdin: deployment({ replicas: "x", selector }),
    code: 1,
    err: [
      "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    ],
  },
  {
    run: "apply -f - --dry-run=server",
    stdin: deployment({ replicas: 1, foo: 1, selector }),
    code: 1,
    err: [`strict decoding error: unknown field "spec.foo"`],
  },
  {
    run: "apply -f - --dry-run=server --validate=false",
    stdin: deployment({ foo: 1, selector }),
    code: 1,
    err: [
      `The Deployment "bad" is invalid`,
      "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
      "spec.template.spec.containers: Required value",
    ],
  },
  {
    run: "apply -f - --dry-run=server --validate=warn",
    stdin: JSON.stringify({ ...JSON.parse(map("warned")), foo: 1 }),
    out: "configmap/warned created (server dry run)",
    err: [`Warning: unknown field "foo"`],
  },
  {
    run: "apply -f -",
    stdin: "apiVersion: foo.example/v1\nkind: Nope\nmetadata: {name: nope}",
    code: 1,
    err: [
      `resource mapping not found for name: "nope" namespace: "" from "STDIN": no matches for kind ` +
        `"Nope" in version "foo.example/v1"\nensure CRDs are installed first`,
    ],
  },
  { run: "replace -f -", stdin: map("one", "r"), out: "configmap/one replaced" },
  { run: "replace -f -", stdin: map("absent"), code: 1, err: [`configmaps "absent" not found`] },
  { run: "replace --force -f -", stdin: map("one", "f"), has: ["configmap/one replaced"] },
  {
    run: "auth reconcile -f -",
    stdin: `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rec, namespace: {ns}}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]`,
    has: ["role.rbac.authorization.k8s.io/rec reconciled"],
  },
];

export const otherCases: readonly Case[] = [
  { run: "auth can-i create pods", out: "yes" },
  { run: "auth can-i create pods --as=bob", code: 1, out: "no" },
  { run: "auth can-i get pods/log --as=system:serviceaccount:{ns}:bot", code: 1, out: "no" },
  {
    run: "auth can-i --list --as=bob",
    has: ["selfsubjectreviews.authentication.k8s.io [] [] [create]", "[/healthz] [] [get]"],
  },
  {
    run: "auth whoami",
    has: [
      "Username system:admin",
      "Groups [system:masters system:authenticated]",
      "authentication.kubernetes.io/credential-id [X509SHA256=",
    ],
  },
  {
    run: "auth whoami --as=bob --as-group=devs",
    has: ["Username bob", "Groups [devs system:authenticated]"],
  },
  {
    run: "get pods --as=bob",
    code: 1,
    err: [
      `Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "{ns}"`,
    ],
  },
  {
    run: "api-resources --namespaced=false --api-group=storage.k8s.io",
    has: ["storageclasses sc storage.k8s.io/v1 false StorageClass"],
  },
  {
    run: "api-resources --categories=all -o name",
    has: ["pods\n", "deployments.apps\n", "cronjobs.batch\n"],
  },
  {
    run: "api-resources --verbs=create -o wide --sort-by=kind",
    has: ["pods po v1 true Pod create,delete,deletecollection,get,list,patch,update,watch all"],
  },
  { run: "api-versions", has: ["apps/v1\n", "autoscaling/v2\n", "v1"] },
  {
    run: "explain pod.spec.containers",
    has: ["FIELD: containers <[]Container>", "args <[]string>"],
  },
  {
    run: "explain deploy.spec.replicas --api-version=apps/v1",
    has: ["GROUP: apps", "FIELD: replicas <integer>"],
  },
  {
    run: "explain pod.spec --recursive",
    has: ["activeDeadlineSeconds <integer>", "nodeAffinity <NodeAffinity>"],
  },
  {
    run: "explain deployment --output=plaintext-openapiv2",
    has: ["KIND: Deployment\nVERSION: apps/v1", "spec <Object>"],
  },
  { run: "explain pod.nosuch", code: 1, err: [`field "nosuch" does not exist`] },
  { run: "explain nosuch", code: 1, err: [`the server doesn't have a resource type "nosuch"`] },
  { run: "cluster-info", has: ["control plane", "is running at", "CoreDNS"] },
  {
    run: "cluster-info dump --namespaces={ns} -o json",
    has: [`"kind": "NodeList"`, `"kind": "EventList"`],
  },
  { run: "version", has: ["Client Version: v1.", "Server Version: v1.36."] },
  { run: "version -o json", has: [`"serverVersion"`, `"major": "1"`, `"minor": "36"`] },
  { run: "config view", has: ["certificate-authority-data: DATA+OMITTED", "namespace: {ns}"] },
  { run: "config current-context", out: "default" },
  { run: "config get-contexts -o name", out: "default" },
  { run: "completion bash", has: ["__start_kubectl"] },
  { run: "__complete get configmaps li", has: ["lit"] },
  { run: "__complete get deploym", has: ["deployments.apps"] },
  { run: "kustomize --help", has: ["Build"] },
  { run: "top node", has: ["k3-e2e {number}m {number}% {number}Mi {number}%"], until: true },
  {
    shares: true,
    run: "taint node k3-e2e t-{id}=v:PreferNoSchedule",
    out: "node/k3-e2e tainted",
  },
  {
    shares: true,
    run: "taint node k3-e2e t-{id}=v:PreferNoSchedule",
    code: 1,
    err: ["already has t-{id} taint(s) with same effect(s) and --overwrite is false"],
  },
  { shares: true, run: "taint node k3-e2e t-{id}:PreferNoSchedule-", out: "node/k3-e2e untainted" },
  { shares: true, run: "taint node k3-e2e t-{id}-", code: 1, err: [`"t-{id}" not found`] },
  {
    run: "wait cm/lit --for=jsonpath={.data.a}=edited --timeout=5s",
    out: "configmap/lit condition met",
  },
  { run: "wait cm/nosuch --for=delete --timeout=5s", code: 0 },
  {
    run: "wait deploy/dep --for=condition=Nosuch --timeout=1s",
    code: 1,
    err: ["timed out waiting for the condition on deployments/dep"],
  },
];

export const deleteCases: readonly Case[] = [
  { run: "delete cm raw", has: [`configmap "raw" deleted`] },
  { run: "delete cm raw", code: 1, err: [`configmaps "raw" not found`] },
  { run: "delete cm raw --ignore-not-found", out: "" },
  { run: "delete cm", code: 1, err: ["resource(s) were provided, but no name was specified"] },
  { run: "delete cm -l nosuch=1", has: ["No resources found"] },
  { run: "delete cm lit --dry-run=server", has: [`configmap "lit" deleted`, "(server dry run)"] },
  { run: "delete cm lit secret/gen", code: 1, err: ["{any}"] },
  { run: "delete cm/lit secret/gen", has: [`configmap "lit" deleted`, `secret "gen" deleted`] },
  { run: "delete -f -", stdin: map("one"), has: [`configmap "one" deleted`] },
  { run: "delete deploy dep --cascade=orphan", has: [`deployment.apps "dep" deleted`] },
  { run: "get rs -l app=dep -o name", has: ["replicaset.apps/dep-"] },
  { run: "delete rs -l app=dep --cascade=foreground", has: [`replicaset.apps "dep-`] },
  { run: "get rs", err: ["No resources found in {ns} namespace."] },
  { run: "delete clusterrole,clusterrolebinding,pc cr-{id}", code: 1, has: [`"cr-{id}" deleted`] },
  { run: "delete ns extra-{id}", has: [`namespace "extra-{id}" deleted`] },
  { run: "get ns extra-{id}", code: 1, err: [`namespaces "extra-{id}" not found`] },
  { run: "delete ns default", code: 1, err: ["this namespace may not be deleted"] },
];
