/** The restricted level: what a hardened pod must say of itself. */
import {
  type Check,
  containersOf,
  containersText,
  isWindows,
  plural,
  quoted,
  type ReadContainer,
  type ReadPod,
  type Violation,
} from "./check.ts";
import { wrongSeccomp } from "./profiles.ts";

function allowPrivilegeEscalation(pod: ReadPod, minor: number): Violation | undefined {
  if (minor >= 25 && isWindows(pod)) return undefined;
  const wrong = containersOf(pod).filter(
    (one) => one.securityContext?.allowPrivilegeEscalation !== false,
  );
  if (wrong.length === 0) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${containersText(wrong)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function capabilities(pod: ReadPod, minor: number): Violation | undefined {
  if (minor >= 25 && isWindows(pod)) return undefined;
  const of = (one: ReadContainer) => one.securityContext?.capabilities;
  const added = (one: ReadContainer): string[] =>
    (of(one)?.add ?? []).filter((name) => name !== "NET_BIND_SERVICE");
  const keepers = containersOf(pod).filter((one) => !(of(one)?.drop ?? []).includes("ALL"));
  const adders = containersOf(pod).filter((one) => added(one).length > 0);
  const details: string[] = [];
  if (keepers.length > 0) {
    details.push(`${containersText(keepers)} must set securityContext.capabilities.drop=["ALL"]`);
  }
  if (adders.length > 0) {
    const names = quoted([...new Set(adders.flatMap(added))].sort());
    const what = `must not include ${names} in securityContext.capabilities.add`;
    details.push(`${containersText(adders)} ${what}`);
  }
  if (details.length === 0) return undefined;
  return { reason: "unrestricted capabilities", detail: details.join("; ") };
}

const allowedVolumes: ReadonlySet<string> = new Set([
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "image",
  "persistentVolumeClaim",
  "projected",
  "secret",
]);

function volumes({ spec }: ReadPod): Violation | undefined {
  const wrong = (spec.volumes ?? []).flatMap(({ name, ...source }) => {
    const [type] = Object.keys(source);
    return type === undefined || allowedVolumes.has(type) ? [] : [{ name, type }];
  });
  if (wrong.length === 0) return undefined;
  const types = [...new Set(wrong.map(({ type }) => type))].sort();
  const names = wrong.map(({ name }) => name);
  const noun = plural("volume", "volumes", names.length);
  const verb = plural("uses", "use", names.length);
  const what = plural("restricted volume type", "restricted volume types", types.length);
  return {
    reason: "restricted volume types",
    detail: `${noun} ${quoted(names)} ${verb} ${what} ${quoted(types)}`,
  };
}

/** In a user namespace of its own, root inside is nobody outside. */
function hasOwnUsers(pod: ReadPod, minor: number): boolean {
  return minor >= 35 && pod.spec.hostUsers === false;
}

function runAsNonRoot(pod: ReadPod, minor: number): Violation | undefined {
  if (hasOwnUsers(pod, minor)) return undefined;
  const reason = "runAsNonRoot != true";
  const of = (one: ReadContainer) => one.securityContext?.runAsNonRoot;
  const ofPod = pod.spec.securityContext?.runAsNonRoot;
  const refusing = containersOf(pod).filter((one) => of(one) === false);
  const silent = containersOf(pod).filter((one) => of(one) === undefined);
  const setters = [
    ...(ofPod === false ? ["pod"] : []),
    ...(refusing.length > 0 ? [containersText(refusing)] : []),
  ];
  if (setters.length > 0) {
    const detail = `${setters.join(" and ")} must not set securityContext.runAsNonRoot=false`;
    return { reason, detail };
  }
  if (ofPod === true || silent.length === 0) return undefined;
  const detail = `pod or ${containersText(silent)} must set securityContext.runAsNonRoot=true`;
  return { reason, detail };
}

function runAsUser(pod: ReadPod, minor: number): Violation | undefined {
  if (hasOwnUsers(pod, minor)) return undefined;
  const byPod = pod.spec.securityContext?.runAsUser === 0;
  const wrong = containersOf(pod).filter((one) => one.securityContext?.runAsUser === 0);
  const setters = [...(byPod ? ["pod"] : []), ...(wrong.length > 0 ? [containersText(wrong)] : [])];
  if (setters.length === 0) return undefined;
  return { reason: "runAsUser=0", detail: `${setters.join(" and ")} must not set runAsUser=0` };
}

function seccompProfile(pod: ReadPod, minor: number): Violation | undefined {
  if (minor >= 25 && isWindows(pod)) return undefined;
  const reason = "seccompProfile";
  const wrong = wrongSeccomp(pod);
  if (wrong !== undefined) return { reason, detail: wrong };
  if (pod.spec.securityContext?.seccompProfile?.type !== undefined) return undefined;
  const silent = containersOf(pod).filter(
    (one) => one.securityContext?.seccompProfile?.type === undefined,
  );
  if (silent.length === 0) return undefined;
  return {
    reason,
    detail:
      `pod or ${containersText(silent)} must set securityContext.seccompProfile.type to ` +
      '"RuntimeDefault" or "Localhost"',
  };
}

export const restrictedChecks: readonly Check[] = [
  { id: "allowPrivilegeEscalation", since: 8, run: allowPrivilegeEscalation },
  {
    id: "capabilities_restricted",
    since: 22,
    run: capabilities,
    overrides: ["capabilities_baseline"],
  },
  { id: "restrictedVolumes", since: 0, run: volumes, overrides: ["hostPathVolumes"] },
  { id: "runAsNonRoot", since: 0, run: runAsNonRoot },
  { id: "runAsUser", since: 23, run: runAsUser },
  {
    id: "seccompProfile_restricted",
    since: 19,
    run: seccompProfile,
    overrides: ["seccompProfile_baseline"],
  },
];
