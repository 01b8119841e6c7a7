/** A socket below `plugins_registry` by which the kubelet finds a plugin of this process. */
import { mkdirSync } from "node:fs";
import { serveSocket } from "../../src/agent/devices/socket-server.ts";
import { Registration } from "../../src/gen/cri/pluginregistration_pb.ts";

export const kubeletDir = "/var/lib/kubelet";

export interface RegisteredPlugin {
  readonly type: "CSIPlugin" | "DRAPlugin";
  readonly name: string;
  /** The socket of the plugin itself. */
  readonly endpoint: string;
  readonly supportedVersions: string[];
}

/** Resolves when the kubelet has taken the plugin, to what takes the socket away again. */
export async function register(plugin: RegisteredPlugin): Promise<() => Promise<void>> {
  const registered = Promise.withResolvers<void>();
  const registry = `${kubeletDir}/plugins_registry`;
  mkdirSync(registry, { recursive: true });
  const close = await serveSocket(`${registry}/${plugin.name}-reg.sock`, (router) => {
    router.service(Registration, {
      getInfo: () => plugin,
      notifyRegistrationStatus: ({ pluginRegistered, error }) => {
        if (pluginRegistered) registered.resolve();
        else registered.reject(new Error(error));
        return {};
      },
    });
  });
  try {
    await registered.promise;
  } catch (error) {
    await close();
    throw error;
  }
  return close;
}
