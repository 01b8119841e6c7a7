/** Which admission plugins the API server runs: the arguments of kube-apiserver on that. */
import { admissionPluginNames, admissionWith } from "../api/admission/default-plugins.ts";
import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import { type ComponentValues, texts } from "./component-args.ts";
import { bad } from "./flags.ts";

/** Upstream's plugins that k3 does not have yet; none of them is on by default. */
const absent: ReadonlySet<string> = new Set([
  "ClusterTrustBundleAttest",
  "EventRateLimit",
  "ImagePolicyWebhook",
  "OwnerReferencesPermissionEnforcement",
  "PodNodeSelector",
  "PodTolerationRestriction",
]);

export const admissionArgs = {
  "enable-admission-plugins": texts([]),
  "disable-admission-plugins": texts([]),
} as const;

/** The chain that is asked for; throws UsageError for names that are none. */
export function admissionOf(
  args: ComponentValues<typeof admissionArgs>,
): readonly AdmissionPlugin[] {
  const enabled = args["enable-admission-plugins"];
  const disabled = args["disable-admission-plugins"];
  for (const name of enabled) {
    if (admissionPluginNames.has(name)) continue;
    const why = absent.has(name) ? "this version does not have it yet" : unknown;
    throw refuse(`enable-admission-plugins=${name}`, why);
  }
  for (const name of disabled) {
    if (admissionPluginNames.has(name) || absent.has(name)) continue;
    throw refuse(`disable-admission-plugins=${name}`, unknown);
  }
  return admissionWith(enabled, disabled);
}

const unknown = "there is no plugin of that name";

function refuse(argument: string, why: string): Error {
  return bad("kube-apiserver-arg", argument, why);
}
