/** Baseline rules about AppArmor, SELinux, seccomp and /proc. */
import {
  type Check,
  containersOf,
  containersText,
  plural,
  quoted,
  type ReadContainer,
  type ReadPod,
  type Violation,
} from "./check.ts";

const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/";

function appArmor(pod: ReadPod): Violation | undefined {
  const setters: string[] = [];
  const values: string[] = [];
  const isWrong = (type: string | undefined): boolean =>
    type !== undefined && type !== "RuntimeDefault" && type !== "Localhost";
  const ofPod = pod.spec.securityContext?.appArmorProfile?.type;
  if (isWrong(ofPod)) {
    setters.push("pod");
    values.push(ofPod ?? "");
  }
  const wrong = containersOf(pod).filter((one) =>
    isWrong(one.securityContext?.appArmorProfile?.type),
  );
  if (wrong.length > 0) {
    setters.push(containersText(wrong));
    values.push(...wrong.map((one) => one.securityContext?.appArmorProfile?.type ?? ""));
  }
  const annotations = Object.entries(pod.metadata.annotations ?? {})
    .filter(([key]) => key.startsWith(appArmorPrefix))
    .filter(([, value]) => value !== "" && value !== "runtime/default")
    .filter(([, value]) => !value.startsWith("localhost/"))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  const details: string[] = [];
  if (setters.length > 0) {
    const types = quoted([...new Set(values)].sort());
    details.push(`${setters.join(" and ")} must not set AppArmor profile type to ${types}`);
  }
  if (annotations.length > 0) {
    const noun = plural("annotation", "annotations", annotations.length);
    details.push(`${noun} ${annotations.join(", ")}`);
  }
  if (details.length === 0) return undefined;
  const count = values.length + annotations.length;
  return {
    reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", count),
    detail: details.join("; "),
  };
}

const seLinuxTypes = ["container_t", "container_init_t", "container_kvm_t"];

function seLinux(pod: ReadPod, minor: number): Violation | undefined {
  const allowed = new Set(minor >= 31 ? [...seLinuxTypes, "container_engine_t"] : seLinuxTypes);
  type Options = { readonly type?: string; readonly user?: string; readonly role?: string };
  const isWrong = ({ type, user, role }: Options): boolean =>
    (type ? !allowed.has(type) : false) || Boolean(user) || Boolean(role);
  const ofPod: Options = pod.spec.securityContext?.seLinuxOptions ?? {};
  const optionsOf = (one: ReadContainer): Options => one.securityContext?.seLinuxOptions ?? {};
  const wrong = containersOf(pod).filter((one) => isWrong(optionsOf(one)));
  const all = [...(isWrong(ofPod) ? [ofPod] : []), ...wrong.map(optionsOf)];
  if (all.length === 0) return undefined;
  const setters = [
    ...(isWrong(ofPod) ? ["pod"] : []),
    ...(wrong.length > 0 ? [containersText(wrong)] : []),
  ];
  const types = [...new Set(all.flatMap(({ type }) => (type && !allowed.has(type) ? [type] : [])))];
  const details = [
    ...(types.length > 0
      ? [`${plural("type", "types", types.length)} ${quoted(types.sort())}`]
      : []),
    ...(all.some(({ user }) => user) ? ["user may not be set"] : []),
    ...(all.some(({ role }) => role) ? ["role may not be set"] : []),
  ];
  const what = `set forbidden securityContext.seLinuxOptions: ${details.join("; ")}`;
  return { reason: "seLinuxOptions", detail: `${setters.join(" and ")} ${what}` };
}

/** Profiles that are set, but to neither the runtime's own nor a file on the node. */
export function wrongSeccomp(pod: ReadPod): string | undefined {
  const isWrong = (type: string | undefined): boolean =>
    type !== undefined && type !== "RuntimeDefault" && type !== "Localhost";
  const ofPod = pod.spec.securityContext?.seccompProfile?.type;
  const typeOf = (one: ReadContainer) => one.securityContext?.seccompProfile?.type;
  const wrong = containersOf(pod).filter((one) => isWrong(typeOf(one)));
  const setters = [
    ...(isWrong(ofPod) ? ["pod"] : []),
    ...(wrong.length > 0 ? [containersText(wrong)] : []),
  ];
  if (setters.length === 0) return undefined;
  const types = [
    ...(isWrong(ofPod) ? [ofPod ?? ""] : []),
    ...wrong.map((one) => typeOf(one) ?? ""),
  ];
  const list = quoted([...new Set(types)].sort());
  return `${setters.join(" and ")} must not set securityContext.seccompProfile.type to ${list}`;
}

function procMount(pod: ReadPod, minor: number): Violation | undefined {
  // In a user namespace of its own the pod may see all of /proc.
  if (minor >= 35 && pod.spec.hostUsers === false) return undefined;
  const typeOf = (one: ReadContainer): string => one.securityContext?.procMount ?? "Default";
  const wrong = containersOf(pod).filter((one) => typeOf(one) !== "Default");
  if (wrong.length === 0) return undefined;
  const types = quoted([...new Set(wrong.map(typeOf))].sort());
  return {
    reason: "procMount",
    detail: `${containersText(wrong)} must not set securityContext.procMount to ${types}`,
  };
}

export const profileChecks: readonly Check[] = [
  { id: "appArmorProfile", since: 0, run: appArmor },
  { id: "procMount", since: 0, run: procMount },
  { id: "seLinuxOptions", since: 0, run: seLinux },
  {
    id: "seccompProfile_baseline",
    since: 0,
    run: (pod) => {
      const detail = wrongSeccomp(pod);
      return detail === undefined ? undefined : { reason: "seccompProfile", detail };
    },
  },
];
