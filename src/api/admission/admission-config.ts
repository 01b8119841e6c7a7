/** `--admission-control-config-file`: the configurations of single plugins. */
import { dirname, join } from "node:path";
import type { Files, Runtime } from "../../runtime/runtime.ts";
import { parseBody } from "../../schema/parse.ts";
import type { AdmissionPlugin } from "../admission-plugin.ts";
import { checkType, knownMembers, listAt, recordAt, textAt } from "../config-reader.ts";
import { admissionWith } from "./default-plugins.ts";

export interface AdmissionSettings {
  readonly enabled: readonly string[];
  readonly disabled: readonly string[];
  readonly configFile: string | undefined;
}

/** Plugins that take a configuration upstream, and none here. */
const withoutConfiguration: ReadonlySet<string> = new Set([
  "MutatingAdmissionWebhook",
  "ResourceQuota",
  "ValidatingAdmissionWebhook",
]);

/** The chain with its configurations; throws for what cannot be used. */
export async function openAdmission(
  { enabled, disabled, configFile }: AdmissionSettings,
  runtime: Runtime,
): Promise<readonly AdmissionPlugin[]> {
  const configs = configFile === undefined ? new Map() : await readConfigs(configFile, runtime);
  const chain = admissionWith(enabled, disabled);
  return Promise.all(
    chain.map((plugin) => plugin.configured?.(configs.get(plugin.name), runtime) ?? plugin),
  );
}

async function readConfigs(
  file: string,
  { files }: Pick<Runtime, "files">,
): Promise<ReadonlyMap<string, unknown>> {
  const config = recordAt(await readYaml(file, files), "");
  checkType(config, ["apiserver.config.k8s.io/v1"], "AdmissionConfiguration");
  knownMembers(config, "", ["apiVersion", "kind", "plugins"]);
  const configs = new Map<string, unknown>();
  for (const [index, one] of listAt(config.plugins, "plugins").entries()) {
    const at = `plugins[${index}]`;
    const plugin = recordAt(one, at);
    knownMembers(plugin, at, ["name", "path", "configuration"]);
    const name = textAt(plugin.name, `${at}.name`);
    const path = textAt(plugin.path, `${at}.path`);
    if (withoutConfiguration.has(name))
      throw new Error(`${at}: this version takes no configuration of ${name}`);
    if (configs.has(name)) throw new Error(`${at}: ${name} is configured twice`);
    const inFile = path.startsWith("/") ? path : join(dirname(file), path);
    configs.set(name, path === "" ? plugin.configuration : await readYaml(inFile, files));
  }
  return configs;
}

async function readYaml(path: string, files: Files): Promise<unknown> {
  const bytes = await files.read(path);
  if (bytes === undefined) throw new Error(`open ${path}: no such file or directory`);
  return parseBody(bytes, "application/yaml").value;
}
