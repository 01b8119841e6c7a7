import { testImage } from "./cluster.ts";

/** One of everything that leaves a trace: ports, rules, mounts, devices, cgroups. */
export const tracingWorkload = `
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {key: secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: ${testImage}
        command: [httpd, -f, -p, "8080", -h, /]
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
        volumeMounts:
        - {name: key, mountPath: /key}
        - {name: shared, mountPath: /shared, subPath: part}
      - {name: idle, image: ${testImage}, command: [sleep, "3600"]}
      volumes:
      - {name: key, secret: {secretName: key}}
      - {name: shared, emptyDir: {medium: Memory}}
---
apiVersion: v1
kind: Pod
metadata: {name: port, labels: {app: web}}
spec:
  containers:
  - name: web
    image: ${testImage}
    command: [httpd, -f, -p, "8080", -h, /]
    ports: [{containerPort: 8080, hostPort: 18080}]
---
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  shareProcessNamespace: true
  containers: [{name: sleep, image: ${testImage}, command: [sleep, "3600"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  sessionAffinity: ClientIP
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}]}
`;
