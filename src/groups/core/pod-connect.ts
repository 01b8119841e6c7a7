/** Logs, exec, attach, port-forward: requests about a pod that its kubelet answers. */
import { withoutTokenProtocol } from "../../api/auth/token-protocol.ts";
import type { ApiRequest, ApiResponse } from "../../api/request.ts";
import type { Subresource } from "../../api/resource-definition.ts";
import type { Pod } from "../../gen/core-v1.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { NodeConnector, RequestHead } from "../node-connector.ts";

type ReadPod = DeepReadonly<Pod>;

function containerNames(pod: ReadPod): { main: string[]; init: string[]; all: string[] } {
  const main = (pod.spec.containers ?? []).map((one) => one.name);
  const init = (pod.spec.initContainers ?? []).map((one) => one.name);
  const ephemeral = (pod.spec.ephemeralContainers ?? []).map((one) => one.name);
  return { main, init, all: [...main, ...init, ...ephemeral] };
}

/** The container a request means: the named one, the annotated default, or the only one. */
export function containerOf(pod: ReadPod, asked: string): string {
  const { main, init, all } = containerNames(pod);
  const podName = pod.metadata.name ?? "";
  if (asked !== "") {
    if (all.includes(asked)) return asked;
    throw new ApiError("BadRequest", `container ${asked} is not valid for pod ${podName}`);
  }
  if (main.length === 1 && main[0] !== undefined) return main[0];
  const annotated = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (annotated !== undefined && all.includes(annotated)) return annotated;
  const inits = init.length === 0 ? "" : ` or one of the init containers: [${init.join(" ")}]`;
  throw new ApiError(
    "BadRequest",
    `a container name must be specified for pod ${podName}, choose one of: ` +
      `[${main.join(" ")}]${inits}`,
  );
}

function nodeOf(pod: ReadPod): string {
  const name = pod.spec.nodeName;
  if (name) return name;
  throw new ApiError("BadRequest", `pod ${pod.metadata.name} does not have a host assigned`);
}

function copied(query: URLSearchParams, names: readonly string[]): URLSearchParams {
  const result = new URLSearchParams();
  for (const name of names) for (const value of query.getAll(name)) result.append(name, value);
  return result;
}

const logOptions = [
  "follow",
  "previous",
  "sinceSeconds",
  "sinceTime",
  "timestamps",
  "tailLines",
  "limitBytes",
  "stream",
] as const;

function checkLogOptions(query: URLSearchParams, name: string): void {
  const errors: string[] = [];
  for (const [key, least] of [
    ["tailLines", 0],
    ["limitBytes", 1],
    ["sinceSeconds", 1],
  ] as const) {
    const text = query.get(key);
    if (text === null) continue;
    if (!/^-?\d+$/.test(text))
      throw new ApiError("BadRequest", `strconv.ParseInt: parsing "${text}": invalid syntax`);
    const detail = least === 0 ? "must be greater than or equal to 0" : "must be greater than 0";
    if (Number(text) < least) errors.push(`${key}: Invalid value: ${text}: ${detail}`);
  }
  if (query.has("sinceSeconds") && query.has("sinceTime"))
    errors.push(
      "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
    );
  if (errors.length === 0) return;
  const list = errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`;
  throw new ApiError("Invalid", `PodLogOptions "${name}" is invalid: ${list}`);
}

/** The kubelet's answer as the API's; a failure's text becomes the message of a Status. */
export async function passOn(response: Response, nodeName: string): Promise<ApiResponse> {
  const contentType = response.headers.get("content-type") ?? "text/plain";
  if (response.status >= 400) {
    const text = (await response.text()).trim();
    const reason =
      response.status === 400
        ? "BadRequest"
        : response.status === 404
          ? "NotFound"
          : "InternalError";
    throw new ApiError(
      reason,
      text || `the server at node ${nodeName} answered ${response.status}`,
      {
        code: response.status,
      },
    );
  }
  const frames = response.body ?? new Blob([]).stream();
  return {
    type: "stream",
    status: response.status,
    contentType,
    frames: frames as ReadableStream<Uint8Array>,
  };
}

/** pods/log. */
export function podLog(nodes: NodeConnector): Subresource<Pod> {
  return {
    type: "action",
    verb: "get",
    kind: "Pod",
    group: "",
    version: "v1",
    async run(target, request): Promise<ApiResponse> {
      const pod = target.object;
      const { namespace = "", name = "" } = pod.metadata;
      checkLogOptions(request.query, name);
      const container = containerOf(pod, request.query.get("container") ?? "");
      if (!pod.spec.nodeName) {
        // Nothing ran yet: upstream answers an empty log.
        return { type: "bytes", status: 200, contentType: "text/plain", bytes: new Uint8Array() };
      }
      const query = copied(request.query, logOptions);
      const path = `/containerLogs/${namespace}/${name}/${container}?${query}`;
      const answer = await nodes.nodeFetch(
        pod.spec.nodeName,
        new Request(`https://node${path}`, { signal: request.signal }),
      );
      return passOn(answer, pod.spec.nodeName);
    },
  };
}

const ownHeaders: ReadonlySet<string> = new Set(["authorization", "cookie", "host"]);

/** Headers that concern the client's own connection or credentials stay behind. */
export function headersForNode(request: ApiRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of request.headers ?? []) {
    const isIdentity = name.startsWith("impersonate-") || name.startsWith("x-remote-");
    if (!isIdentity && !ownHeaders.has(name)) headers.append(name, value);
  }
  return withoutTokenProtocol(headers);
}

function stream(
  nodes: NodeConnector,
  kind: string,
  path: (pod: ReadPod, request: ApiRequest) => string,
): Subresource<Pod> {
  return {
    type: "stream",
    kind,
    verbs: ["create", "get"],
    async open(target, request, socket): Promise<void> {
      const pod = target.object;
      const head: RequestHead = {
        method: request.method,
        path: path(pod, request),
        headers: headersForNode(request),
      };
      await nodes.nodeStream(nodeOf(pod), head, socket);
    },
  };
}

const streamFlags = ["stdin", "stdout", "stderr", "tty", "command"] as const;

/** The kubelet names the flags input, output, error. */
function kubeletFlags(query: URLSearchParams): URLSearchParams {
  const result = new URLSearchParams();
  const names = { stdin: "input", stdout: "output", stderr: "error", tty: "tty" } as const;
  for (const flag of streamFlags) {
    if (flag === "command") {
      for (const part of query.getAll("command")) result.append("command", part);
    } else if (/^(1|t|true)$/i.test(query.get(flag) ?? "")) result.append(names[flag], "1");
  }
  return result;
}

/** pods/exec, pods/attach, pods/portforward. */
export function podStreams(nodes: NodeConnector): Readonly<Record<string, Subresource<Pod>>> {
  const withContainer = (verb: string) => (pod: ReadPod, request: ApiRequest) => {
    const { namespace = "", name = "" } = pod.metadata;
    const container = containerOf(pod, request.query.get("container") ?? "");
    return `/${verb}/${namespace}/${name}/${container}?${kubeletFlags(request.query)}`;
  };
  return {
    attach: stream(nodes, "PodAttachOptions", withContainer("attach")),
    exec: stream(nodes, "PodExecOptions", withContainer("exec")),
    portforward: stream(nodes, "PodPortForwardOptions", (pod, request) => {
      const ports = request.query.getAll("ports").map((port) => `port=${port}`);
      const query = ports.length === 0 ? "" : `?${ports.join("&")}`;
      return `/portForward/${pod.metadata.namespace}/${pod.metadata.name}${query}`;
    }),
  };
}
