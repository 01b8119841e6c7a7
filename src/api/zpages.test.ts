import { expect, test } from "bun:test";
import { type ZPagesOptions, zPage } from "./zpages.ts";

const options: ZPagesOptions = {
  startedAt: new Date("2026-01-01T00:00:00Z"),
  now: () => new Date("2026-01-01T01:02:03Z"),
  binaryVersion: "1.36.4",
  emulationVersion: "1.36",
  builtWith: "bun1.4.5",
  paths: () => ["/api", "/apis/apps/v1", "/healthz", "/livez/ping", "/livez", "/metrics"],
  flags: { "request-timeout": "1m0s", "goaway-chance": "0" },
};
const page = (path: string, accept = "") => zPage(path, accept, options);
const structured = (as: string, v: string, type = "application/json") =>
  `${type};g=config.k8s.io;v=${v};as=${as}`;

test("zPage() tells the status as text", async () => {
  const response = page("/statusz");
  expect(response?.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  const text = (await response?.text()) ?? "";
  expect(text).toStartWith("\nkube-apiserver statusz\nWarning: This endpoint is not meant to be");
  expect(text).toContain("Up: 1 hr 02 min 03 sec\n");
  expect(text).toContain("Paths: /healthz /livez /metrics\n");
  expect(page("/status")).toBeUndefined();
});

test("zPage() tells flags as text, in order", async () => {
  expect(await page("/flagz", "text/plain")?.text()).toEndWith(
    "purposes only.\ngoaway-chance=0\nrequest-timeout=1m0s\n",
  );
});

test("zPage() gives objects to who names their kind and version", async () => {
  const status = page("/statusz", structured("Statusz", "v1beta1"));
  expect(await status?.json()).toEqual({
    kind: "Statusz",
    apiVersion: "config.k8s.io/v1beta1",
    metadata: { name: "kube-apiserver" },
    startTime: "2026-01-01T00:00:00Z",
    uptimeSeconds: 3723,
    goVersion: "bun1.4.5",
    binaryVersion: "1.36.4",
    emulationVersion: "1.36",
    paths: ["/healthz", "/livez", "/metrics"],
  });
  const flags = page("/flagz", structured("Flagz", "v1alpha1", "application/yaml"));
  expect(flags?.headers.get("warning")).toContain(
    "This version of the flagz endpoint is deprecated",
  );
  expect(await flags?.text()).toContain("apiVersion: config.k8s.io/v1alpha1\n");
});

test("zPage() refuses other forms", () => {
  for (const accept of ["application/json", structured("Flagz", "v1"), "image/png"]) {
    expect(() => page("/statusz", accept)).toThrow("only the following media types are accepted");
  }
});
