/** Counts and times requests under upstream's names, for `/metrics`. */
import { type Labels, latencyBuckets, type Metrics } from "../runtime/metrics.ts";
import type { ApiRequest } from "./request.ts";

export interface RequestMetrics {
  /** `request` is what was asked for, `code` what was answered after `seconds`. */
  record(request: MeasuredRequest, code: number, seconds: number): void;
  /** Of the whole answer to a read. */
  sized(request: MeasuredRequest, bytes: number): void;
}

type MeasuredRequest = Pick<ApiRequest, "verb" | "resource" | "subresource" | "namespace" | "name">;

const sizeBuckets = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/** Verbs as metrics name them; of a connection only the fact is told. */
const verbs: Readonly<Record<string, string>> = {
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
  deletecollection: "DELETE",
  get: "GET",
  list: "LIST",
  watch: "WATCH",
  connect: "CONNECT",
};

export function createRequestMetrics(metrics: Metrics): RequestMetrics {
  const total = metrics.counter(
    "apiserver_request_total",
    "Counter of apiserver requests broken out for each verb, resource, scope and code.",
  );
  const duration = metrics.histogram(
    "apiserver_request_duration_seconds",
    "Response latency in seconds for each verb, resource and scope.",
    latencyBuckets,
  );
  const sizes = metrics.histogram(
    "apiserver_response_sizes",
    "Bytes of the answers to reads, by group, version, verb, resource, subresource and scope.",
    sizeBuckets,
  );
  /** Labels made once per kind of request: making them costs more than counting. */
  const known = new Map<string, Labels>();
  const labelsOf = (key: string, make: () => Labels): Labels => {
    let labels = known.get(key);
    if (labels === undefined) {
      labels = make();
      known.set(key, labels);
    }
    return labels;
  };
  const kindOf = ({ verb, resource, subresource, namespace, name }: MeasuredRequest) => {
    const { group, version, plural } = resource;
    const scope = name !== "" ? "resource" : namespace !== "" ? "namespace" : "cluster";
    const key = `${verb} ${group}/${version}/${plural}/${subresource} ${scope}`;
    const labels = labelsOf(key, () => ({
      component: "apiserver",
      dry_run: "",
      group,
      resource: plural,
      scope,
      subresource,
      verb: verbs[verb] ?? verb.toUpperCase(),
      version,
    }));
    return { key, labels };
  };
  return {
    record(request, code, seconds) {
      const { key, labels } = kindOf(request);
      total.add(labelsOf(`${key} ${code}`, () => ({ ...labels, code: String(code) })));
      // How long a watch lasts says nothing about how fast the server is.
      const { verb } = request;
      if (verb !== "watch" && verb !== "connect") duration.observe(labels, seconds);
    },
    sized(request, bytes) {
      const { key, labels } = kindOf(request);
      sizes.observe(
        labelsOf(`${key} sized`, () => {
          const { dry_run: _, ...others } = labels;
          return others;
        }),
        bytes,
      );
    },
  };
}
