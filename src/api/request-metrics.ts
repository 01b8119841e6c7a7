/** Counts and times requests under upstream's names, for `/metrics`. */
import { type Labels, latencyBuckets, type Metrics } from "../runtime/metrics.ts";
import type { ApiRequest } from "./request.ts";

export interface RequestMetrics {
  /** `request` is what was asked for, `code` what was answered after `seconds`. */
  record(
    request: Pick<ApiRequest, "verb" | "resource" | "subresource" | "namespace" | "name">,
    code: number,
    seconds: number,
  ): void;
}

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
  return {
    record({ verb, resource, subresource, namespace, name }, code, seconds) {
      const { group, version, plural } = resource;
      const scope = name !== "" ? "resource" : namespace !== "" ? "namespace" : "cluster";
      const key = `${verb} ${group}/${version}/${plural}/${subresource} ${scope}`;
      const timed = labelsOf(key, () => ({
        component: "apiserver",
        dry_run: "",
        group,
        resource: plural,
        scope,
        subresource,
        verb: verbs[verb] ?? verb.toUpperCase(),
        version,
      }));
      total.add(labelsOf(`${key} ${code}`, () => ({ ...timed, code: String(code) })));
      // How long a watch lasts says nothing about how fast the server is.
      if (verb !== "watch" && verb !== "connect") duration.observe(timed, seconds);
    },
  };
}
