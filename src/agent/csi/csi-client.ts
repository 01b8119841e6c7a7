/** Calls to the node service of one CSI driver, in the words that upstream's kubelet uses. */
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  NodeServiceCapability_RPC_Type as Capability,
  VolumeCapability_AccessMode_Mode as Mode,
  Node,
  type VolumeUsage,
} from "../../gen/cri/csi_pb.ts";
import { openSocket } from "../cri/client.ts";
import type { DriverNode } from "./csi-node.ts";

const options = { timeoutMs: 120_000 } as const;

/** What a volume is to be for its pod. */
export interface VolumeUseWish {
  /** An access mode of the volume: ReadWriteOnce. */
  readonly accessMode: string;
  readonly kind:
    | { readonly is: "block" }
    | {
        readonly is: "mount";
        readonly fsType: string;
        readonly mountOptions: readonly string[];
        /** Given only to drivers that apply it themselves. */
        readonly group: number | undefined;
      };
}

type Texts = Readonly<Record<string, string>>;

export interface StageRequest {
  readonly volumeId: string;
  readonly stagingPath: string;
  readonly publishContext: Texts;
  readonly secrets: Texts;
  readonly context: Texts;
  readonly wish: VolumeUseWish;
}

export interface PublishRequest extends StageRequest {
  readonly targetPath: string;
  readonly readOnly: boolean;
}

export interface ExpandRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  readonly stagingPath: string;
  readonly bytes: bigint;
  readonly secrets: Texts;
  readonly wish: VolumeUseWish;
}

export class CsiClient {
  readonly #node: Client<typeof Node>;
  readonly close: () => void;

  constructor(endpoint: string) {
    const { transport, close } = openSocket(endpoint);
    this.#node = createClient(Node, transport);
    this.close = close;
  }

  async nodeInfo(driver: string): Promise<DriverNode> {
    const answer = await this.#node.nodeGetInfo({}, options);
    return {
      driver,
      nodeId: answer.nodeId,
      volumesMax: Number(answer.maxVolumesPerNode),
      topology: answer.accessibleTopology?.segments ?? {},
    };
  }

  async can(capability: keyof typeof Capability): Promise<boolean> {
    const { capabilities } = await this.#node.nodeGetCapabilities({}, options);
    return capabilities.some(
      ({ type }) => type.case === "rpc" && type.value.type === Capability[capability],
    );
  }

  async stage(request: StageRequest): Promise<void> {
    await this.#node.nodeStageVolume(
      {
        volumeId: request.volumeId,
        stagingTargetPath: request.stagingPath,
        publishContext: request.publishContext,
        secrets: request.secrets,
        volumeContext: request.context,
        volumeCapability: await this.#capability(request.wish),
      },
      options,
    );
  }

  async unstage(volumeId: string, stagingTargetPath: string): Promise<void> {
    await this.#node.nodeUnstageVolume({ volumeId, stagingTargetPath }, options);
  }

  async publish(request: PublishRequest): Promise<void> {
    await this.#node.nodePublishVolume(
      {
        volumeId: request.volumeId,
        stagingTargetPath: request.stagingPath,
        targetPath: request.targetPath,
        readonly: request.readOnly,
        publishContext: request.publishContext,
        secrets: request.secrets,
        volumeContext: request.context,
        volumeCapability: await this.#capability(request.wish),
      },
      options,
    );
  }

  async unpublish(volumeId: string, targetPath: string): Promise<void> {
    await this.#node.nodeUnpublishVolume({ volumeId, targetPath }, options);
  }

  async expand(request: ExpandRequest): Promise<void> {
    await this.#node.nodeExpandVolume(
      {
        volumeId: request.volumeId,
        volumePath: request.volumePath,
        stagingTargetPath: request.stagingPath,
        capacityRange: { requiredBytes: request.bytes },
        secrets: request.secrets,
        volumeCapability: await this.#capability(request.wish),
      },
      options,
    );
  }

  async stats(
    volumeId: string,
    volumePath: string,
    stagingTargetPath: string,
  ): Promise<readonly VolumeUsage[]> {
    const request = { volumeId, volumePath, stagingTargetPath };
    return (await this.#node.nodeGetVolumeStats(request, options)).usage;
  }

  async #capability({ accessMode, kind }: VolumeUseWish) {
    const modes = (await this.can("SINGLE_NODE_MULTI_WRITER")) ? finerModes : plainModes;
    const mode = { mode: modes[accessMode] ?? Mode.UNKNOWN };
    if (kind.is === "block") {
      return { accessMode: mode, accessType: { case: "block" as const, value: {} } };
    }
    const value = {
      fsType: kind.fsType,
      mountFlags: [...kind.mountOptions],
      volumeMountGroup: kind.group === undefined ? "" : `${kind.group}`,
    };
    return { accessMode: mode, accessType: { case: "mount" as const, value } };
  }
}

const plainModes: Readonly<Record<string, Mode>> = {
  ReadWriteOnce: Mode.SINGLE_NODE_WRITER,
  ReadOnlyMany: Mode.MULTI_NODE_READER_ONLY,
  ReadWriteMany: Mode.MULTI_NODE_MULTI_WRITER,
  ReadWriteOncePod: Mode.SINGLE_NODE_WRITER,
};

/** Of drivers that tell one pod's use from that of all pods of a node. */
const finerModes: Readonly<Record<string, Mode>> = {
  ...plainModes,
  ReadWriteOnce: Mode.SINGLE_NODE_MULTI_WRITER,
  ReadWriteOncePod: Mode.SINGLE_NODE_SINGLE_WRITER,
};

const openCodes: ReadonlySet<Code> = new Set([
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Unavailable,
  Code.ResourceExhausted,
  Code.Aborted,
]);

/** Whether the driver has surely ended what failed; otherwise it may still be at it. */
export function isFinal(error: unknown): boolean {
  return error instanceof ConnectError && !openCodes.has(error.code);
}
