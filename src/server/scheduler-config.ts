/** Finds out how the scheduler shall decide. */
import type { Runtime } from "../runtime/runtime.ts";
import { decodeSchedulerConfig } from "../scheduler/config.ts";
import type { SchedulerOptions } from "../scheduler/scheduler.ts";
import { parseBody } from "../schema/parse.ts";

/** Throws with the file's name when it is absent or cannot be used. */
export async function readSchedulerConfig(
  file: string | undefined,
  runtime: Runtime,
): Promise<SchedulerOptions> {
  if (file === undefined) return {};
  const bytes = await runtime.files.read(file);
  if (bytes === undefined) throw new Error(`Cannot read ${file}: it does not exist`);
  try {
    return decodeSchedulerConfig(parseBody(bytes, "application/yaml").value);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot use ${file} as the scheduler's configuration: ${text}`);
  }
}
