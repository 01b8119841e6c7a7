import { expect, test } from "bun:test";
import { staticPod } from "./static-pod-files.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const yaml = `
apiVersion: v1
kind: Pod
metadata: {name: still, annotations: {note: kept}}
spec: {containers: [{name: c, image: i}]}
`;

test("staticPod() names the pod after its node and knows its text again", () => {
  const pod = staticPod(encode(yaml), "/m/still.yaml", "Node1");
  expect(pod.metadata).toMatchObject({ name: "still-node1", namespace: "default" });
  const uid = pod.metadata.uid ?? "";
  expect(uid).toMatch(/^[0-9a-f]{32}$/);
  expect(pod.metadata.annotations).toEqual({
    note: "kept",
    "kubernetes.io/config.hash": uid,
    "kubernetes.io/config.source": "file",
  });
  expect(pod.spec).toMatchObject({
    nodeName: "Node1",
    tolerations: [{ operator: "Exists", effect: "NoExecute" }],
  });
  expect(staticPod(encode(yaml), "/m/still.yaml", "Node1").metadata.uid).toBe(uid);
  expect(staticPod(encode(`${yaml}\n`), "/m/still.yaml", "Node1").metadata.uid).not.toBe(uid);
  const json = JSON.stringify({ kind: "Pod", metadata: { name: "j" }, spec: { containers: [] } });
  expect(staticPod(encode(json), "/m/j.json", "n").metadata.name).toBe("j-n");
});

test("what is no pod is refused with the reason", () => {
  const read = (text: string) => () => staticPod(encode(text), "/m/x.yaml", "n");
  expect(read("kind: Service")).toThrow("it does not describe a Pod");
  expect(read("")).toThrow("it does not describe a Pod");
  expect(read("kind: Pod\nspec: {containers: []}")).toThrow("the Pod has no name");
});
