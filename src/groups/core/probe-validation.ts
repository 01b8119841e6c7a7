/** Rules of probes and lifecycle hooks. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  Container,
  ExecAction,
  GRPCAction,
  HTTPGetAction,
  Probe,
  SleepAction,
  TCPSocketAction,
} from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { portNameErrors } from "../../lib/names.ts";
import {
  forbidden,
  invalid,
  invalids,
  nonNegative,
  oneOf,
  portNumber,
  required,
} from "../field-errors.ts";

interface Handlers {
  readonly exec?: DeepReadonly<ExecAction>;
  readonly httpGet?: DeepReadonly<HTTPGetAction>;
  readonly tcpSocket?: DeepReadonly<TCPSocketAction>;
  readonly grpc?: DeepReadonly<GRPCAction>;
  readonly sleep?: DeepReadonly<SleepAction>;
}

export function validatePortNumOrName(
  port: number | string | undefined,
  field: string,
): FieldError[] {
  if (typeof port === "number") return portNumber(field, port);
  return invalids(field, port ?? "", portNameErrors(port ?? ""));
}

function validateHttpGet(action: DeepReadonly<HTTPGetAction>, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!action.path) errors.push(required(`${field}.path`));
  errors.push(...validatePortNumOrName(action.port, `${field}.port`));
  errors.push(...oneOf(`${field}.scheme`, action.scheme, ["HTTP", "HTTPS"]));
  const detail =
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. " +
    "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
  for (const { name = "" } of action.httpHeaders ?? [])
    if (!/^[-A-Za-z0-9]+$/.test(name)) errors.push(invalid(`${field}.httpHeaders`, name, detail));
  return errors;
}

function validateHandlers(handlers: Handlers, field: string, grace: number): FieldError[] {
  const errors: FieldError[] = [];
  const set = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter(
    (key) => handlers[key] !== undefined && handlers[key] !== null,
  );
  if (set[0] === "exec" && (handlers.exec?.command ?? []).length === 0)
    errors.push(required(`${field}.exec.command`));
  if (set[0] === "httpGet" && handlers.httpGet)
    errors.push(...validateHttpGet(handlers.httpGet, `${field}.httpGet`));
  if (set[0] === "tcpSocket")
    errors.push(...validatePortNumOrName(handlers.tcpSocket?.port, `${field}.tcpSocket.port`));
  if (set[0] === "grpc") errors.push(...portNumber(`${field}.grpc.port`, handlers.grpc?.port));
  const seconds = handlers.sleep?.seconds;
  if (set[0] === "sleep" && seconds !== undefined && (seconds < 0 || seconds > grace))
    errors.push(
      invalid(
        `${field}.sleep`,
        seconds,
        `must be non-negative and less than terminationGracePeriodSeconds (${grace})`,
      ),
    );
  for (const key of set.slice(1))
    errors.push(forbidden(`${field}.${key}`, "may not specify more than 1 handler type"));
  if (set.length === 0) errors.push(required(field, "must specify a handler type"));
  return errors;
}

function validateProbe(
  probe: DeepReadonly<Probe> | undefined,
  field: string,
  name: "livenessProbe" | "readinessProbe" | "startupProbe",
): FieldError[] {
  if (probe === undefined) return [];
  const errors = validateHandlers(probe, field, 0);
  for (const key of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const)
    errors.push(...nonNegative(`${field}.${key}`, probe[key]));
  const grace = probe.terminationGracePeriodSeconds;
  const at = `${field}.terminationGracePeriodSeconds`;
  if (grace !== undefined && grace <= 0) errors.push(invalid(at, grace, "must be greater than 0"));
  if (grace !== undefined && name === "readinessProbe")
    errors.push(invalid(at, grace, "must not be set for readinessProbes"));
  if (name !== "readinessProbe" && probe.successThreshold !== 1)
    errors.push(invalid(`${field}.successThreshold`, probe.successThreshold, "must be 1"));
  return errors;
}

/** The errors of a container's probes and hooks. */
export function validateProbesAndHooks(
  container: DeepReadonly<Container>,
  field: string,
  graceSeconds: number,
): FieldError[] {
  const errors: FieldError[] = [];
  const { lifecycle } = container;
  if (lifecycle?.postStart)
    errors.push(
      ...validateHandlers(lifecycle.postStart, `${field}.lifecycle.postStart`, graceSeconds),
    );
  if (lifecycle?.preStop)
    errors.push(...validateHandlers(lifecycle.preStop, `${field}.lifecycle.preStop`, graceSeconds));
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"] as const)
    errors.push(...validateProbe(container[name], `${field}.${name}`, name));
  return errors;
}
