/** The admission chain, with the configurations that a file gives its plugins. */
import { type AdmissionSettings, openAdmission } from "../api/admission/admission-config.ts";
import type { AdmissionPlugin } from "../api/admission-plugin.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { StartError } from "./start-error.ts";

/** Throws StartError for a file that cannot be used. */
export async function admissionFor(
  settings: AdmissionSettings,
  runtime: Runtime,
): Promise<readonly AdmissionPlugin[]> {
  try {
    return await openAdmission(settings, runtime);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const file = settings.configFile ?? "admission without a configuration file";
    throw new StartError(`Cannot use ${file} for admission: ${why}`);
  }
}
