/** Which admission plugins the API server runs: the arguments of kube-apiserver on that. */
import { defaultAdmission } from "../api/admission/default-plugins.ts";
import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import { type ComponentValues, texts } from "./component-args.ts";
import { bad } from "./flags.ts";

/** Upstream's plugins that are off unless asked for; k3 has none of them yet. */
const offByDefault: ReadonlySet<string> = new Set([
  "AlwaysAdmit",
  "AlwaysDeny",
  "AlwaysPullImages",
  "ClusterTrustBundleAttest",
  "DenyServiceExternalIPs",
  "EventRateLimit",
  "ExtendedResourceToleration",
  "ImagePolicyWebhook",
  "LimitPodHardAntiAffinityTopology",
  "NamespaceAutoProvision",
  "NamespaceExists",
  "OwnerReferencesPermissionEnforcement",
  "PodNodeSelector",
  "PodTolerationRestriction",
]);

export const admissionArgs = {
  "enable-admission-plugins": texts([]),
  "disable-admission-plugins": texts([]),
} as const;

/** The default chain without what is disabled; throws UsageError for names that are none. */
export function admissionOf(
  args: ComponentValues<typeof admissionArgs>,
): readonly AdmissionPlugin[] {
  const all = defaultAdmission();
  const isOn = (name: string): boolean => all.some((plugin) => plugin.name === name);
  const unknown = "there is no plugin of that name";
  for (const name of args["enable-admission-plugins"]) {
    const why = offByDefault.has(name) ? "this version does not have it yet" : unknown;
    if (!isOn(name)) throw refuse(`enable-admission-plugins=${name}`, why);
  }
  const disabled = args["disable-admission-plugins"];
  for (const name of disabled)
    if (!isOn(name) && !offByDefault.has(name))
      throw refuse(`disable-admission-plugins=${name}`, unknown);
  return all.filter(({ name }) => !disabled.includes(name));
}

function refuse(argument: string, why: string): Error {
  return bad("kube-apiserver-arg", argument, why);
}
