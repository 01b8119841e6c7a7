/** Pods to be reached by HTTP, and who asks them. */
import { networkInterfaces } from "node:os";
import { testImage } from "./cluster.ts";

/** A Deployment that answers with its name, and its Service at port 80. */
export const pods = (name: string, replicas: number): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: httpd
        image: ${testImage}
        command: [sh, -c, "mkdir -p /www/sub; echo ${name} > /www/index.html; echo sub > /www/sub/index.html; exec httpd -f -p 8080 -h /www"]
        ports: [{containerPort: 8080, name: http}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec:
  selector: {app: ${name}}
  ports: [{name: web, port: 80, targetPort: http}]
`;

export interface Answer {
  readonly code: string;
  readonly body: string;
}

/** As a user would ask; the address is the node's. */
export async function curl(url: string, ...flags: readonly string[]): Promise<Answer> {
  const child = Bun.spawn(["curl", "-sk", "-m", "10", "-w", "\n%{http_code}", ...flags, url], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  const end = text.lastIndexOf("\n");
  return { body: text.slice(0, end), code: text.slice(end + 1) };
}

export function nodeAddress(): string {
  const found = Object.entries(networkInterfaces())
    .filter(([link]) => link !== "cni0" && link !== "k3-dns" && !link.startsWith("flannel"))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  return found?.address ?? "127.0.0.1";
}
