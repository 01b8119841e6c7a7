import { expect, test } from "bun:test";
import { createMetrics } from "../runtime/metrics.ts";
import { createRequestMetrics } from "./request-metrics.ts";

test("record() counts by what was asked and answered, and times all but watches", () => {
  const metrics = createMetrics();
  const requests = createRequestMetrics(metrics);
  const resource = { group: "", version: "v1", plural: "pods" };
  const list = { verb: "list", resource, subresource: "", namespace: "a", name: "" } as const;
  requests.record(list, 200, 0.01);
  requests.record(list, 200, 0.03);
  requests.record({ ...list, verb: "watch" }, 200, 300);
  const text = metrics.text();
  const labels = 'group="",resource="pods",scope="namespace",subresource="",verb="LIST"';
  expect(text).toContain(`component="apiserver",dry_run="",${labels},version="v1"} 2\n`);
  expect(text).toContain('apiserver_request_total{code="200",component="apiserver"');
  expect(text).toMatch(/duration_seconds_bucket\{.*verb="LIST".*le="0.025"\} 1\n/);
  expect(text).not.toMatch(/duration_seconds_count\{.*WATCH/);
});
