/** The services of k3 that an installer made, by the names and in the forms of K3s' installer. */
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dataDirOf } from "./killall-plan.ts";

export type ServiceManager = "systemd" | "openrc";

export interface Service {
  /** `k3s`, `k3s-agent`, `k3s-edge`. */
  readonly name: string;
  readonly manager: ServiceManager;
  /** The unit, or the script below init.d. */
  readonly file: string;
  /** Variables for the service. */
  readonly envFile: string;
  /** What it starts. */
  readonly program: string;
  /** Undefined where neither its arguments nor its variables name one. */
  readonly dataDir: string | undefined;
}

const namePattern = /^k3s?(-[\w.-]+)?$/;

function wordsAfter(pattern: RegExp, text: string): readonly string[] {
  const [, line = ""] = pattern.exec(text.replaceAll("\\\n", " ")) ?? [];
  const words = line.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  return words.map((word) => word.replace(/['"]/g, ""));
}

/** The service of `file`; undefined when it is not one of k3's. */
export function serviceOf(
  file: { readonly manager: ServiceManager; readonly path: string; readonly text: string },
  environment: (path: string) => string | undefined,
): Service | undefined {
  const { manager, path, text } = file;
  const base = path.slice(path.lastIndexOf("/") + 1);
  if (manager === "systemd" && !base.endsWith(".service")) return undefined;
  const name = base.replace(/\.service$/, "");
  const [program = "", ...args] =
    manager === "systemd"
      ? wordsAfter(/^ExecStart=(.*)$/m, text)
      : [/^command=(.*)$/m, /^command_args="([^"]*)"/m].flatMap((part) => wordsAfter(part, text));
  if (!namePattern.test(name) || !/\/k3s?(-[a-z0-9]+)?$/.test(program)) return undefined;
  const envFile = manager === "systemd" ? `${path}.env` : `/etc/rancher/k3s/${name}.env`;
  const [, fromEnv] = /^K3S_DATA_DIR=['"]?([^'"\n]+)/m.exec(environment(envFile) ?? "") ?? [];
  return { name, manager, file: path, envFile, program, dataDir: dataDirOf(args) ?? fromEnv };
}

/** Those of this machine; `env` may name another folder of units, as for the installer. */
export async function findServices(
  { files }: Pick<Runtime, "files">,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly Service[]> {
  const folders = [
    ["systemd", env.INSTALL_K3S_SYSTEMD_DIR || "/etc/systemd/system"],
    ["openrc", "/etc/init.d"],
  ] as const;
  const found: Service[] = [];
  for (const [manager, folder] of folders) {
    for (const name of await files.list(folder)) {
      if (!/^k3s?(-.*)?$/.test(name.replace(/\.service$/, ""))) continue;
      const path = `${folder}/${name}`;
      const text = await files.readText(path).catch(() => undefined);
      if (text === undefined) continue;
      const variables = new Map<string, string | undefined>();
      for (const env of [`${path}.env`, `/etc/rancher/k3s/${name}.env`])
        variables.set(env, await files.readText(env));
      const service = serviceOf({ manager, path, text }, (env) => variables.get(env));
      if (service !== undefined) found.push(service);
    }
  }
  return found;
}

/** Runs a service manager's command; what it says about failures is for the log. */
async function tell(runtime: Runtime, ...argv: readonly [string, ...string[]]): Promise<void> {
  try {
    const { exitCode, stderr } = await runtime.exec.run({ argv }, new AbortController().signal);
    if (exitCode !== 0) runtime.log.debug(`${argv.join(" ")} failed`, { stderr });
  } catch (error) {
    runtime.log.debug(`Cannot run ${argv.join(" ")}`, { error: String(error) });
  }
}

/** Whoever starts what ends must hear of it first. */
export async function stopService(runtime: Runtime, service: Service): Promise<void> {
  if (service.manager === "openrc") await tell(runtime, service.file, "stop");
  else await tell(runtime, "systemctl", "stop", service.name);
}

/** Takes a stopped service from its manager, with its files. */
export async function removeService(runtime: Runtime, host: Host, service: Service): Promise<void> {
  const { name, manager, file, envFile } = service;
  if (manager === "openrc") await tell(runtime, "rc-update", "delete", name, "default");
  else await tell(runtime, "systemctl", "disable", name);
  const ofOpenRc = [`/etc/logrotate.d/${name}`, `/var/log/${name}.log`];
  for (const path of [file, envFile, ...(manager === "openrc" ? ofOpenRc : [])])
    await host.remove(path);
  if (manager === "openrc") return;
  await tell(runtime, "systemctl", "reset-failed", name);
  await tell(runtime, "systemctl", "daemon-reload");
}
