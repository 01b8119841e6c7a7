/** Rules of containers: names, images, ports, environment, mounts. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { Container, ContainerPort, PodSpec, VolumeMount } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelErrors, portNameErrors } from "../../lib/names.ts";
import {
  duplicate,
  forbidden,
  invalid,
  invalids,
  notFound,
  notSupported,
  oneOf,
  portNumber,
  required,
  supported,
  tooMany,
} from "../field-errors.ts";
import { validateEnv, validateEnvFrom } from "./env-validation.ts";
import { validateProbesAndHooks } from "./probe-validation.ts";
import { validateResources } from "./resource-requirements.ts";
import { validateContainerSecurity } from "./security-validation.ts";
import { validateNoBacksteps } from "./volume-source.ts";
import { usableVolumes } from "./volume-validation.ts";

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
    errors.push(...oneOf(`${at}.protocol`, port.protocol, ["SCTP", "TCP", "UDP"]));
  });
  return errors;
}

function validatePropagation(
  mount: DeepReadonly<VolumeMount>,
  container: ReadContainer,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { mountPropagation, recursiveReadOnly, readOnly } = mount;
  if (mountPropagation !== undefined) {
    const at = `${field}.mountPropagation`;
    const modes = ["Bidirectional", "HostToContainer", "None"];
    if (!modes.includes(mountPropagation)) errors.push(notSupported(at, mountPropagation, modes));
    if (mountPropagation === "Bidirectional" && container.securityContext?.privileged !== true)
      errors.push(
        forbidden(at, "Bidirectional mount propagation is available only to privileged containers"),
      );
  }
  if (recursiveReadOnly === undefined || recursiveReadOnly === "Disabled") return errors;
  const at = `${field}.recursiveReadOnly`;
  const modes = ["Disabled", "Enabled", "IfPossible"];
  if (!modes.includes(recursiveReadOnly))
    return [...errors, notSupported(at, recursiveReadOnly, modes)];
  if (!readOnly) errors.push(forbidden(at, "may only be specified when readOnly is true"));
  if (mountPropagation !== undefined && mountPropagation !== "None")
    errors.push(
      forbidden(at, "may only be specified when mountPropagation is None or not specified"),
    );
  return errors;
}

function validateMounts(container: ReadContainer, spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const volumes = usableVolumes(spec);
  const paths = new Set<string>();
  (container.volumeMounts ?? []).forEach((mount, index) => {
    const at = `${field}.volumeMounts[${index}]`;
    if (!mount.name) errors.push(required(`${at}.name`));
    if (!volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    else if (paths.has(mount.mountPath))
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    paths.add(mount.mountPath ?? "");
    for (const key of ["subPath", "subPathExpr"] as const) {
      const path = mount[key];
      if (!path) continue;
      // Upstream leaves the index out of these two.
      const place = `${field}.volumeMounts.${key}`;
      if (path.startsWith("/")) errors.push(invalid(place, path, "must be a relative path"));
      if (path.split("/").includes(".."))
        errors.push(invalid(place, path, "must not contain '..'"));
    }
    if (mount.subPath && mount.subPathExpr)
      errors.push(
        invalid(
          `${at}.subPathExpr`,
          mount.subPathExpr,
          "subPathExpr and subPath are mutually exclusive",
        ),
      );
    if ((container.volumeDevices ?? []).some(({ name }) => name === mount.name))
      errors.push(invalid(`${at}.name`, mount.name, "must not already exist in volumeDevices"));
    errors.push(...validatePropagation(mount, container, `${field}.volumeMounts`));
  });
  return [...errors, ...validateDevices(container, spec, `${field}.volumeDevices`)];
}

function validateDevices(container: ReadContainer, spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const mounts = container.volumeMounts ?? [];
  const volumes = usableVolumes(spec);
  const paths = new Set<string>();
  const names = new Set<string>();
  (container.volumeDevices ?? []).forEach(({ name = "", devicePath = "" }, index) => {
    const at = `${field}[${index}]`;
    const wrong = (key: "name" | "devicePath", detail: string): void => {
      errors.push(invalid(`${at}.${key}`, key === "name" ? name : devicePath, detail));
    };
    if (name === "") errors.push(required(`${at}.name`));
    if (names.has(name)) wrong("name", "must be unique");
    const volume = volumes.has(name) && spec.volumes?.find((one) => one.name === name);
    if (!volume) errors.push(notFound(`${at}.name`, name));
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
      const kinds = "PersistentVolumeClaim or Ephemeral";
      wrong("name", `can only use volume source type of ${kinds} for block mode`);
    }
    if (devicePath === "") errors.push(required(`${at}.devicePath`));
    if (paths.has(devicePath)) wrong("devicePath", "must be unique");
    if (validateNoBacksteps(devicePath, at).length > 0)
      wrong("devicePath", "can not contain backsteps ('..')");
    else paths.add(devicePath);
    if (mounts.some((mount) => mount.name === name))
      wrong("name", "must not already exist in volumeMounts");
    if (mounts.some(({ mountPath }) => mountPath === devicePath))
      wrong("devicePath", "must not already exist as a path in volumeMounts");
    if (name !== "") names.add(name);
  });
  return errors;
}

function validateResizePolicy(
  container: ReadContainer,
  spec: ReadSpec,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const at = `${field}.resizePolicy`;
  const seen = new Set<string>();
  (container.resizePolicy ?? []).forEach(({ resourceName, restartPolicy }, index) => {
    if (seen.has(resourceName)) errors.push(duplicate(`${at}[${index}]`, resourceName));
    seen.add(resourceName);
    errors.push(...oneOf(at, resourceName, ["cpu", "memory"]));
    errors.push(...oneOf(at, restartPolicy, ["NotRequired", "RestartContainer"]));
    if (spec.restartPolicy === "Never" && restartPolicy !== "NotRequired") {
      const detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
      errors.push(invalid(at, restartPolicy, detail));
    }
  });
  return errors;
}

const ruleLimits = { rulesMax: 20, valuesMax: 255 } as const;

/** A container's own restart policy and its rules by exit code. */
function validateRestart(container: ReadContainer, field: string, isInit = false): FieldError[] {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  const errors: FieldError[] = [];
  if (restartPolicy !== undefined)
    errors.push(
      ...supported(`${field}.restartPolicy`, restartPolicy, ["Always", "Never", "OnFailure"]),
    );
  else if (rules.length > 0)
    errors.push(
      required(`${field}.restartPolicy`, "must specify restartPolicy when restart rules are used"),
    );
  // Upstream stops here for init containers.
  if (restartPolicy === undefined && isInit) return errors;
  if (rules.length > ruleLimits.rulesMax)
    errors.push(tooMany(`${field}.restartPolicyRules`, rules.length, ruleLimits.rulesMax));
  rules.forEach(({ action, exitCodes }, index) => {
    const at = `${field}.restartPolicyRules[${index}]`;
    errors.push(...supported(`${at}.action`, action, ["Restart", "RestartAllContainers"]));
    if (!exitCodes) {
      errors.push(required(`${at}.exitCodes`, "must be specified"));
      return;
    }
    errors.push(...supported(`${at}.exitCodes.operator`, exitCodes.operator, ["In", "NotIn"]));
    const count = (exitCodes.values ?? []).length;
    if (count > ruleLimits.valuesMax)
      errors.push(tooMany(`${at}.exitCodes.values`, count, ruleLimits.valuesMax));
  });
  return errors;
}

/** What holds for containers of every kind. */
export function validateCommon(
  container: ReadContainer,
  spec: ReadSpec,
  field: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!container.name) errors.push(required(`${field}.name`));
  else errors.push(...invalids(`${field}.name`, container.name, labelErrors(container.name)));
  if (!container.image) errors.push(required(`${field}.image`));
  errors.push(
    ...oneOf(`${field}.terminationMessagePolicy`, container.terminationMessagePolicy, [
      "File",
      "FallbackToLogsOnError",
    ]),
    ...validatePorts(container.ports ?? [], `${field}.ports`),
    ...validateEnv(container.env ?? [], `${field}.env`),
    ...validateEnvFrom(container.envFrom ?? [], `${field}.envFrom`),
    ...validateMounts(container, spec, field),
    ...oneOf(`${field}.imagePullPolicy`, container.imagePullPolicy, [
      "Always",
      "IfNotPresent",
      "Never",
    ]),
    ...validateResources(container.resources, `${field}.resources`, {
      claims: (spec.resourceClaims ?? []).map(({ name }) => name),
    }),
    ...validateResizePolicy(container, spec, field),
    ...validateContainerSecurity(container, spec, field),
  );
  return errors;
}

function validateInit(container: ReadContainer, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (container.restartPolicy === "Always") return errors;
  for (const key of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const)
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
    errors.push(...validateRestart(container, at));
  });
  (spec.initContainers ?? []).forEach((container, index) => {
    const at = `${field}.initContainers[${index}]`;
    errors.push(...validateCommon(container, spec, at));
    unique(container, at);
    errors.push(...validateRestart(container, at, true), ...validateInit(container, at));
    errors.push(...validateHostPorts([container], `${field}.initContainers`));
    if (container.restartPolicy === "Always")
      errors.push(...validateProbesAndHooks(container, at, grace));
  });
  errors.push(...validateHostPorts(spec.containers ?? [], `${field}.containers`));
  return errors;
}
