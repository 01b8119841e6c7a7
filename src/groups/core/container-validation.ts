/** Rules of containers: names, images, ports, environment, mounts. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, ContainerPort, EnvVar, PodSpec } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, portNameErrors } from "../../lib/names.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notFound,
  oneOf,
  portNumber,
  required,
} from "../field-errors.ts";
import { validateProbesAndHooks } from "./probe-validation.ts";
import { validateResources } from "./resource-requirements.ts";

type ReadContainer = DeepReadonly<Container>;
type ReadSpec = DeepReadonly<PodSpec>;

function validatePorts(ports: readonly DeepReadonly<ContainerPort>[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${field}[${index}]`;
    if (port.name) {
      const problems = portNameErrors(port.name);
      errors.push(...invalids(`${at}.name`, port.name, problems));
      if (problems.length === 0 && names.has(port.name))
        errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else errors.push(...portNumber(`${at}.containerPort`, port.containerPort));
    if (port.hostPort) errors.push(...portNumber(`${at}.hostPort`, port.hostPort));
    errors.push(...oneOf(`${at}.protocol`, port.protocol, ["TCP", "UDP", "SCTP"]));
  });
  return errors;
}

const envNameDetail =
  "a valid environment variable name must consist only of printable ASCII characters other " +
  "than '='";
const fieldPaths = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];

function validateEnv(env: readonly DeepReadonly<EnvVar>[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  env.forEach((variable, index) => {
    const at = `${field}[${index}]`;
    if (!variable.name) errors.push(required(`${at}.name`));
    else if (/[^\x20-\x7e]|=/.test(variable.name))
      errors.push(invalid(`${at}.name`, variable.name, envNameDetail));
    const from = variable.valueFrom;
    if (from === undefined) return;
    const sources = Object.values(from).filter((source) => source !== undefined && source !== null);
    if (sources.length === 0)
      errors.push(
        invalid(
          `${at}.valueFrom`,
          "",
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, " +
            "`secretKeyRef` or `fileKeyRef`",
        ),
      );
    else if (variable.value)
      errors.push(invalid(`${at}.valueFrom`, "", "may not be specified when `value` is not empty"));
    else if (sources.length > 1)
      errors.push(
        invalid(`${at}.valueFrom`, "", "may not have more than one field specified at a time"),
      );
    const path = from.fieldRef?.fieldPath;
    if (from.fieldRef && !path) errors.push(required(`${at}.valueFrom.fieldRef.fieldPath`));
    else if (
      path &&
      !fieldPaths.includes(path) &&
      !/^metadata\.(labels|annotations)\['.+'\]$/.test(path)
    )
      errors.push(
        invalid(
          `${at}.valueFrom.fieldRef.fieldPath`,
          path,
          `error converting fieldPath: field label not supported: ${path}`,
        ),
      );
    if (from.configMapKeyRef && !from.configMapKeyRef.key)
      errors.push(required(`${at}.valueFrom.configMapKeyRef.key`));
    if (from.secretKeyRef && !from.secretKeyRef.key)
      errors.push(required(`${at}.valueFrom.secretKeyRef.key`));
  });
  return errors;
}

function validateMounts(container: ReadContainer, spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = new Set((spec.volumes ?? []).map((volume) => volume.name));
  const paths = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, index) => {
    const at = `${field}.volumeMounts[${index}]`;
    if (!mount.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    else if (paths.has(mount.mountPath))
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    paths.add(mount.mountPath ?? "");
    for (const key of ["subPath", "subPathExpr"] as const) {
      const path = mount[key];
      if (!path) continue;
      if (path.startsWith("/"))
        errors.push(invalid(`${at}.${key}`, path, "must be a relative path"));
      if (path.split("/").includes(".."))
        errors.push(invalid(`${at}.${key}`, path, "must not contain '..'"));
    }
    if (mount.subPath && mount.subPathExpr)
      errors.push(
        invalid(
          `${at}.subPathExpr`,
          mount.subPathExpr,
          "subPathExpr and subPath are mutually exclusive",
        ),
      );
    if (mount.mountPropagation)
      errors.push(
        ...oneOf(`${at}.mountPropagation`, mount.mountPropagation, [
          "None",
          "HostToContainer",
          "Bidirectional",
        ]),
      );
  });
  (container.volumeDevices ?? []).forEach((device, index) => {
    const at = `${field}.volumeDevices[${index}]`;
    if (!device.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(device.name)) errors.push(notFound(`${at}.name`, device.name));
    if (!device.devicePath) errors.push(required(`${at}.devicePath`));
  });
  return errors;
}

function validateSecurity(container: ReadContainer, spec: ReadSpec, field: string): FieldError[] {
  const context = container.securityContext;
  if (!context) return [];
  const errors: FieldError[] = [];
  const at = `${field}.securityContext`;
  const adds = context.capabilities?.add ?? [];
  if (context.privileged && context.allowPrivilegeEscalation === false)
    errors.push(
      invalid(
        at,
        context,
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
      ),
    );
  else if (adds.includes("CAP_SYS_ADMIN") && context.allowPrivilegeEscalation === false)
    errors.push(
      invalid(
        at,
        context,
        "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
      ),
    );
  for (const key of ["runAsUser", "runAsGroup"] as const) {
    const id = context[key];
    if (id !== undefined && (id < 0 || id > 2147483647))
      errors.push(invalid(`${at}.${key}`, id, "must be between 0 and 2147483647, inclusive"));
  }
  if (context.procMount === "Unmasked" && spec.hostUsers !== false)
    errors.push(
      invalid(`${at}.procMount`, context.procMount, "`hostUsers` must be false to use `Unmasked`"),
    );
  return errors;
}

function validateCommon(container: ReadContainer, spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!container.name) errors.push(required(`${field}.name`));
  else errors.push(...invalids(`${field}.name`, container.name, labelErrors(container.name)));
  if (!container.image) errors.push(required(`${field}.image`));
  else if (container.image !== container.image.trim())
    errors.push(
      invalid(`${field}.image`, container.image, "must not have leading or trailing whitespace"),
    );
  errors.push(
    ...oneOf(`${field}.terminationMessagePolicy`, container.terminationMessagePolicy, [
      "File",
      "FallbackToLogsOnError",
    ]),
    ...validatePorts(container.ports ?? [], `${field}.ports`),
    ...validateEnv(container.env ?? [], `${field}.env`),
    ...validateMounts(container, spec, field),
    ...oneOf(`${field}.imagePullPolicy`, container.imagePullPolicy, [
      "Always",
      "IfNotPresent",
      "Never",
    ]),
    ...validateResources(container.resources, `${field}.resources`),
    ...validateSecurity(container, spec, field),
  );
  return errors;
}

function validateInit(container: ReadContainer, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (container.restartPolicy === "Always") return errors;
  for (const key of ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] as const)
    if (container[key] !== undefined)
      errors.push(
        forbidden(
          `${field}.${key}`,
          "may not be set for init containers without restartPolicy=Always",
        ),
      );
  return errors;
}

function validateHostPorts(containers: readonly ReadContainer[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  containers.forEach((container, index) => {
    (container.ports ?? []).forEach((port, portIndex) => {
      if (!port.hostPort) return;
      const claim = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (taken.has(claim))
        errors.push(duplicate(`${field}[${index}].ports[${portIndex}].hostPort`, claim));
      taken.add(claim);
    });
  });
  return errors;
}

/** The errors of all containers of a spec. */
export function validateContainers(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const grace = spec.terminationGracePeriodSeconds ?? 30;
  const names = new Set<string>();
  const unique = (container: ReadContainer, at: string): void => {
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    else names.add(container.name);
  };
  if ((spec.containers ?? []).length === 0) errors.push(required(`${field}.containers`));
  (spec.containers ?? []).forEach((container, index) => {
    const at = `${field}.containers[${index}]`;
    errors.push(...validateCommon(container, spec, at));
    unique(container, at);
    errors.push(...validateProbesAndHooks(container, at, grace));
  });
  (spec.initContainers ?? []).forEach((container, index) => {
    const at = `${field}.initContainers[${index}]`;
    errors.push(...validateCommon(container, spec, at));
    unique(container, at);
    errors.push(...validateInit(container, at));
    if (container.restartPolicy === "Always")
      errors.push(...validateProbesAndHooks(container, at, grace));
  });
  errors.push(...validateHostPorts(spec.containers ?? [], `${field}.containers`));
  return errors;
}
