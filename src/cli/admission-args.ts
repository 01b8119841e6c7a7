/** Which admission plugins the API server runs: the arguments of kube-apiserver on that. */
import type { AdmissionSettings } from "../api/admission/admission-config.ts";
import { admissionPluginNames } from "../api/admission/default-plugins.ts";
import { type ComponentValues, text, texts } from "./component-args.ts";
import { bad } from "./flags.ts";

/** Upstream's plugins that have nothing to do: what they are about is not served, or off. */
const idle: ReadonlySet<string> = new Set([
  "ClusterTrustBundleAttest",
  "JobValidation",
  "PodGroupProtection",
  "PodGroupWorkloadExists",
]);

export const admissionArgs = {
  "enable-admission-plugins": texts([]),
  "disable-admission-plugins": texts([]),
  "admission-control-config-file": text(""),
} as const;

/**
 * The chain that is asked for; `absolute` completes relative paths. Throws UsageError for names
 * that are none.
 */
export function admissionOf(
  args: ComponentValues<typeof admissionArgs>,
  absolute: (path: string) => string,
): AdmissionSettings {
  const enabled = args["enable-admission-plugins"];
  const disabled = args["disable-admission-plugins"];
  for (const [argument, names] of Object.entries({ enable: enabled, disable: disabled }))
    for (const name of names) {
      if (admissionPluginNames.has(name) || idle.has(name)) continue;
      const why = "there is no plugin of that name";
      throw bad("kube-apiserver-arg", `${argument}-admission-plugins=${name}`, why);
    }
  const file = args["admission-control-config-file"];
  return { enabled, disabled, configFile: file === "" ? undefined : absolute(file) };
}
