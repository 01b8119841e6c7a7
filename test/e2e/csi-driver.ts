/**
 * A CSI driver of this process: its volumes are folders, mounted by bind mounts, and for raw block
 * volumes files below loop devices. It notes every call that it gets.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { serveSocket } from "../../src/agent/devices/socket-server.ts";
import {
  NodeServiceCapability_RPC_Type as Capability,
  Node,
  type NodePublishVolumeRequest,
  type NodeStageVolumeRequest,
  VolumeUsage_Unit as Unit,
} from "../../src/gen/cri/csi_pb.ts";
import { kubeletDir, register } from "./plugin-registration.ts";

export interface Call {
  readonly name: "stage" | "unstage" | "publish" | "unpublish" | "expand" | "stats";
  readonly volume: string;
  readonly path: string;
}

function run(...command: readonly string[]): string {
  const done = Bun.spawnSync([...command]);
  if (done.exitCode === 0) return done.stdout.toString().trim();
  throw new ConnectError(`${command.join(" ")}: ${done.stderr}`, Code.Internal);
}

function isMounted(path: string): boolean {
  return Bun.spawnSync(["mountpoint", "-q", path]).exitCode === 0;
}

function unmount(path: string): void {
  if (isMounted(path)) run("umount", path);
}

/** Names of the loop devices over the file, a line for each. */
export function loopsOver(file: string): string {
  return run("losetup", "-j", file, "-O", "NAME", "-n");
}

export interface CsiDriverOptions {
  readonly name: string;
  /** Where its volumes are kept. */
  readonly dir: string;
  readonly capabilities?: readonly (keyof typeof Capability)[];
  readonly volumesMax?: number;
}

export class CsiDriver {
  readonly calls: Call[] = [];
  readonly published = new Map<string, NodePublishVolumeRequest>();
  readonly staged = new Map<string, NodeStageVolumeRequest>();
  readonly #options: CsiDriverOptions;
  /** Refuses the next call of a name with this. */
  readonly failures = new Map<Call["name"], ConnectError>();
  #close = async (): Promise<void> => {};

  constructor(options: CsiDriverOptions) {
    this.#options = options;
  }

  get socket(): string {
    return `${kubeletDir}/plugins/${this.#options.name}/csi.sock`;
  }

  folderOf(volume: string): string {
    return `${this.#options.dir}/${volume}`;
  }

  /** How often a call was made for a volume. */
  count(name: Call["name"], volume: string): number {
    return this.calls.filter((call) => call.name === name && call.volume === volume).length;
  }

  /** Serves and registers; resolves when the kubelet has taken it. */
  async start(): Promise<void> {
    const { name } = this.#options;
    mkdirSync(`${kubeletDir}/plugins/${name}`, { recursive: true });
    const closeNode = await serveSocket(this.socket, (router) => {
      router.service(Node, this.#node());
    });
    this.#close = closeNode;
    const unregister = await register({
      type: "CSIPlugin",
      name,
      endpoint: this.socket,
      supportedVersions: ["1.0.0"],
    });
    this.#close = async () => {
      await unregister();
      await closeNode();
    };
  }

  async stop(): Promise<void> {
    await this.#close();
  }

  /** Removes its volumes, loop devices among them that a failed test has left. */
  async destroy(): Promise<void> {
    await this.stop();
    for (const name of readdirSync(this.#options.dir)) {
      if (name.endsWith(".img")) this.#freeLoop(name.slice(0, -".img".length));
    }
    rmSync(this.#options.dir, { recursive: true });
  }

  #note(name: Call["name"], volume: string, path: string): void {
    this.calls.push({ name, volume, path });
    const failure = this.failures.get(name);
    if (failure === undefined) return;
    this.failures.delete(name);
    throw failure;
  }

  #node(): Partial<ServiceImpl<typeof Node>> {
    const { name, capabilities = [], volumesMax = 0 } = this.#options;
    return {
      nodeGetInfo: () => ({
        nodeId: `${name}-node`,
        maxVolumesPerNode: BigInt(volumesMax),
        accessibleTopology: { segments: { [`topology.${name}/node`]: "here" } },
      }),
      nodeGetCapabilities: () => ({
        capabilities: capabilities.map((one) => ({
          type: { case: "rpc" as const, value: { type: Capability[one] } },
        })),
      }),
      nodeStageVolume: (request) => this.#stage(request),
      nodeUnstageVolume: ({ volumeId, stagingTargetPath }) => {
        this.#note("unstage", volumeId, stagingTargetPath);
        unmount(stagingTargetPath);
        this.#freeLoop(volumeId);
        this.staged.delete(volumeId);
        return {};
      },
      nodePublishVolume: (request) => this.#publish(request),
      nodeUnpublishVolume: ({ volumeId, targetPath }) => {
        this.#note("unpublish", volumeId, targetPath);
        unmount(targetPath);
        rmSync(targetPath, { recursive: true, force: true });
        this.published.delete(targetPath);
        return {};
      },
      nodeExpandVolume: ({ volumeId, volumePath, capacityRange }) => {
        this.#note("expand", volumeId, volumePath);
        return { capacityBytes: capacityRange?.requiredBytes ?? 0n };
      },
      nodeGetVolumeStats: ({ volumeId, volumePath }) => {
        this.#note("stats", volumeId, volumePath);
        const { blocks, bfree, bsize } = statfsSync(volumePath);
        return {
          usage: [
            {
              unit: Unit.BYTES,
              total: BigInt(blocks * bsize),
              available: BigInt(bfree * bsize),
              used: 4711n,
            },
            { unit: Unit.INODES, total: 100n, available: 58n, used: 42n },
          ],
        };
      },
    };
  }

  #stage(request: NodeStageVolumeRequest) {
    const { volumeId, stagingTargetPath, volumeCapability } = request;
    this.#note("stage", volumeId, stagingTargetPath);
    this.staged.set(volumeId, request);
    if (volumeCapability?.accessType.case === "block") return {};
    mkdirSync(this.folderOf(volumeId), { recursive: true });
    if (!isMounted(stagingTargetPath)) {
      run("mount", "--bind", this.folderOf(volumeId), stagingTargetPath);
    }
    return {};
  }

  #publish(request: NodePublishVolumeRequest) {
    const { volumeId, targetPath, stagingTargetPath, volumeCapability, readonly } = request;
    this.#note("publish", volumeId, targetPath);
    this.published.set(targetPath, request);
    if (volumeCapability?.accessType.case === "block") {
      writeFileSync(targetPath, "");
      if (!isMounted(targetPath)) run("mount", "--bind", this.#loop(volumeId), targetPath);
      return {};
    }
    mkdirSync(this.folderOf(volumeId), { recursive: true });
    mkdirSync(targetPath, { recursive: true });
    if (isMounted(targetPath)) return {};
    const source = stagingTargetPath === "" ? this.folderOf(volumeId) : stagingTargetPath;
    run("mount", "--bind", source, targetPath);
    if (readonly) run("mount", "-o", "remount,bind,ro", targetPath);
    return {};
  }

  /** The loop device of a raw block volume of one MiB. */
  #loop(volume: string): string {
    const file = `${this.folderOf(volume)}.img`;
    if (!existsSync(file)) {
      writeFileSync(file, "");
      truncateSync(file, 1024 * 1024);
    }
    const [known = ""] = loopsOver(file).split("\n");
    return known === "" ? run("losetup", "--show", "-f", file) : known;
  }

  #freeLoop(volume: string): void {
    const file = `${this.folderOf(volume)}.img`;
    if (existsSync(file) && loopsOver(file) !== "") run("losetup", "-d", this.#loop(volume));
  }
}
