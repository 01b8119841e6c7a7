import { expect, test } from "bun:test";
import { createMetrics } from "./metrics.ts";

test("the text format", () => {
  const metrics = createMetrics();
  const requests = metrics.counter("requests_total", "Requests served.");
  requests.add({ verb: "get", code: "200" });
  requests.add({ code: "200", verb: "get" }, 2);
  metrics.gauge("depth", "Queue depth.").set({ name: 'a"b' }, 4);
  const seconds = metrics.histogram("latency_seconds", "Latency.", [0.1, 1]);
  seconds.observe({}, 0.05);
  seconds.observe({}, 1);
  seconds.observe({}, 5);
  metrics.collect("up", "Up.", () => [[{}, 1]]);
  expect(metrics.counter("requests_total", "")).toBe(requests);
  expect(metrics.text()).toBe(`# HELP depth Queue depth.
# TYPE depth gauge
depth{name="a\\"b"} 4
# HELP latency_seconds Latency.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 1
latency_seconds_bucket{le="1"} 2
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 6.05
latency_seconds_count 3
# HELP requests_total Requests served.
# TYPE requests_total counter
requests_total{code="200",verb="get"} 3
# HELP up Up.
# TYPE up gauge
up 1
`);
});
