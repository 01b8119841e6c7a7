/** Finds out how the scheduler shall decide. */
import type { Runtime } from "../runtime/runtime.ts";
import { decodeSchedulerConfig } from "../scheduler/config.ts";
import type { DecodedExtender } from "../scheduler/extender-config.ts";
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
    const config = decodeSchedulerConfig(parseBody(bytes, "application/yaml").value);
    const extenders = config.extenders.map((extender) => withCertificates(extender, runtime));
    return { ...config, extenders: await Promise.all(extenders) };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot use ${file} as the scheduler's configuration: ${text}`);
  }
}

async function withCertificates(extender: DecodedExtender, runtime: Runtime) {
  const read = Object.entries(extender.tlsFiles).map(async ([name, file]) => {
    const text = await runtime.files.readText(file);
    if (text === undefined) throw new Error(`${file} does not exist`);
    return [name, text] as const;
  });
  return { ...extender, tls: { ...extender.tls, ...Object.fromEntries(await Promise.all(read)) } };
}
