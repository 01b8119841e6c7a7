/** Rules of the security contexts of pods and containers. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { AppArmorProfile, Container, PodSpec, SeccompProfile } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notSupported,
  oneOf,
  required,
  tooLong,
} from "../field-errors.ts";

type ReadSpec = DeepReadonly<PodSpec>;

const limits = { idMax: 2_147_483_647, sysctlCharactersMax: 253, profileBytesMax: 4095 } as const;
const profileTypes = ["Localhost", "RuntimeDefault", "Unconfined"];

function validateId(id: number | undefined, field: string): FieldError[] {
  if (id === undefined || (id >= 0 && id <= limits.idMax)) return [];
  return [invalid(field, id, `must be between 0 and ${limits.idMax}, inclusive`)];
}

function validateSeccomp(
  profile: DeepReadonly<SeccompProfile> | undefined,
  field: string,
): FieldError[] {
  if (!profile) return [];
  const { type, localhostProfile } = profile;
  const errors: FieldError[] = [];
  if (!type) errors.push(required(`${field}.type`, "type is required when seccompProfile is set"));
  else if (!profileTypes.includes(type))
    errors.push(notSupported(`${field}.type`, type, profileTypes));
  const file = `${field}.localhostProfile`;
  if (type !== "Localhost") {
    if (localhostProfile !== undefined)
      errors.push(
        invalid(
          file,
          { Type: type ?? "", LocalhostProfile: localhostProfile },
          "can only be set when seccomp type is Localhost",
        ),
      );
    return errors;
  }
  if (localhostProfile === undefined)
    errors.push(required(file, "must be set when seccomp type is Localhost"));
  else if (localhostProfile.startsWith("/"))
    errors.push(invalid(file, localhostProfile, "must be a relative path"));
  else if (localhostProfile.split("/").includes(".."))
    errors.push(invalid(file, localhostProfile, "must not contain '..'"));
  return errors;
}

function validateAppArmor(
  profile: DeepReadonly<AppArmorProfile> | undefined,
  field: string,
): FieldError[] {
  if (!profile) return [];
  const { type, localhostProfile } = profile;
  if (!type) return [required(`${field}.type`, "type is required when appArmorProfile is set")];
  if (!profileTypes.includes(type)) return [notSupported(`${field}.type`, type, profileTypes)];
  const name = `${field}.localhostProfile`;
  if (type !== "Localhost") {
    if (localhostProfile === undefined) return [];
    return [invalid(name, localhostProfile, "can only be set when AppArmor type is Localhost")];
  }
  const needed = "must be set when AppArmor type is Localhost";
  if (localhostProfile === undefined) return [required(name, needed)];
  if (localhostProfile !== localhostProfile.trim())
    return [invalid(name, localhostProfile, "must not be padded with whitespace")];
  if (localhostProfile === "") return [required(name, needed)];
  return localhostProfile.length > limits.profileBytesMax
    ? [tooLong(name, limits.profileBytesMax)]
    : [];
}

const sysctlForm = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/** Sysctls of System V and POSIX interprocess communication, which has a namespace of its own. */
function isOfIpc(name: string): boolean {
  return /^(kernel\.(sem$|shm|msg)|fs\.mqueue\.)/.test(name);
}

function validateSysctls(spec: ReadSpec, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  (spec.securityContext?.sysctls ?? []).forEach(({ name = "" }, index) => {
    const at = `${field}.sysctls[${index}].name`;
    const max = limits.sysctlCharactersMax;
    if (name === "") errors.push(required(at));
    else if (name.length > max || !new RegExp(sysctlForm).test(name))
      errors.push(
        invalid(at, name, `must have at most ${max} characters and match regex ${sysctlForm}`),
      );
    else if (names.has(name)) errors.push(duplicate(at, name));
    names.add(name);
    const dotted = name.replaceAll("/", ".");
    if (spec.hostNetwork && dotted.startsWith("net."))
      errors.push(invalid(at, name, "may not be specified when 'hostNetwork' is true"));
    else if (spec.hostIPC && isOfIpc(dotted))
      errors.push(invalid(at, name, "may not be specified when 'hostIPC' is true"));
  });
  return errors;
}

/** Fields that take one of a few words. */
type Choice = "fsGroupChangePolicy" | "supplementalGroupsPolicy" | "seLinuxChangePolicy";

/** The errors of `spec.securityContext`; `field` is where the spec stands. */
export function validatePodSecurity(spec: ReadSpec, field: string): FieldError[] {
  const context = spec.securityContext;
  const at = `${field}.securityContext`;
  if (!context) return [];
  const errors = [
    ...validateId(context.fsGroup, `${at}.fsGroup`),
    ...validateId(context.runAsUser, `${at}.runAsUser`),
    ...validateId(context.runAsGroup, `${at}.runAsGroup`),
    ...(context.supplementalGroups ?? []).flatMap((id, index) =>
      validateId(id, `${at}.supplementalGroups[${index}]`),
    ),
    ...validateSysctls(spec, at),
  ];
  const choice = (key: Choice, words: readonly string[]): FieldError[] =>
    context[key] === undefined ? [] : oneOf(`${at}.${key}`, context[key], words);
  return [
    ...errors,
    ...choice("fsGroupChangePolicy", ["Always", "OnRootMismatch"]),
    ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`),
    ...validateAppArmor(context.appArmorProfile, `${at}.appArmorProfile`),
    ...choice("supplementalGroupsPolicy", ["Merge", "Strict"]),
    // The other policy, MountOption, takes a gate that is off.
    ...choice("seLinuxChangePolicy", ["Recursive"]),
  ];
}

/** The errors of a container's own context. */
export function validateContainerSecurity(
  container: DeepReadonly<Pick<Container, "securityContext">>,
  spec: ReadSpec,
  field: string,
): FieldError[] {
  const context = container.securityContext;
  if (!context) return [];
  const at = `${field}.securityContext`;
  const errors = [
    ...validateId(context.runAsUser, `${at}.runAsUser`),
    ...validateId(context.runAsGroup, `${at}.runAsGroup`),
  ];
  const { procMount } = context;
  if (procMount !== undefined) {
    errors.push(...oneOf(`${at}.procMount`, procMount, ["Default", "Unmasked"]));
    if (procMount === "Unmasked" && spec.hostUsers !== false)
      errors.push(
        invalid(`${at}.procMount`, procMount, "`hostUsers` must be false to use `Unmasked`"),
      );
  }
  errors.push(...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`));
  if (context.allowPrivilegeEscalation === false) {
    const cannot = "cannot set `allowPrivilegeEscalation` to false and";
    if (context.privileged) errors.push(invalid(at, context, `${cannot} \`privileged\` to true`));
    if ((context.capabilities?.add ?? []).includes("CAP_SYS_ADMIN"))
      errors.push(invalid(at, context, `${cannot} \`capabilities.Add\` CAP_SYS_ADMIN`));
  }
  errors.push(...validateAppArmor(context.appArmorProfile, `${at}.appArmorProfile`));
  return errors;
}

/** A pod with users of its own shares no other namespace with the host. */
export function validateHostUsers(spec: ReadSpec, field: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  const detail = "when `hostUsers` is false";
  const errors: FieldError[] = [];
  if (spec.hostNetwork) errors.push(forbidden(`${field}.hostNetwork`, detail));
  if (spec.hostPID) errors.push(forbidden(`${field}.HostPID`, detail));
  if (spec.hostIPC) errors.push(forbidden(`${field}.HostIPC`, detail));
  for (const key of ["initContainers", "containers"] as const)
    (spec[key] ?? []).forEach((container, index) => {
      if ((container.volumeDevices ?? []).length > 0)
        errors.push(forbidden(`${field}.${key}[${index}].volumeDevices`, detail));
    });
  return errors;
}
