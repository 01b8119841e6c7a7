/** Volumes as single pods have them: NodePublishVolume and its opposite. */
import { attachmentName } from "../../schema/csi-names.ts";
import { criMessage } from "../cri/client.ts";
import { isMountPoint } from "../kubelet/mount-table.ts";
import type { ServiceAccountTokens } from "../kubelet/service-account-tokens.ts";
import { type Pod, podDir, uidOf } from "../kubelet/types.ts";
import { giveToGroup } from "../kubelet/volume-ownership.ts";
import type { BlockDevices, BlockVolume } from "./block-devices.ts";
import { mountError } from "./csi-attachments.ts";
import { type CsiClient, isFinal } from "./csi-client.ts";
import { csiPlugin, dataFile, devicesDir, podVolumeDir } from "./csi-paths.ts";
import { secretTexts } from "./csi-secrets.ts";
import { type CsiStager, type CsiStagerOptions, clientOf, wishOf } from "./csi-stager.ts";
import {
  type CsiVolume,
  type DriverObject,
  lifecycleProblem,
  podInfo,
  takesGroup,
} from "./csi-volume.ts";
import type { PublishedVolume } from "./volume-data.ts";

export interface CsiPublisherOptions extends CsiStagerOptions {
  readonly stager: CsiStager;
  readonly blocks: BlockDevices;
  readonly tokens: ServiceAccountTokens;
}

/** One volume of one pod, and what is known of its driver. */
export interface PublishWish {
  readonly pod: Pod;
  readonly volume: CsiVolume;
  readonly object: DriverObject | undefined;
  readonly publishContext: Readonly<Record<string, string>>;
  /** The pod has it already and only wants it refreshed. */
  readonly isRemount: boolean;
}

const tokensKey = "csi.storage.k8s.io/serviceAccount.tokens";

export class CsiPublisher {
  readonly #options: CsiPublisherOptions;

  constructor(options: CsiPublisherOptions) {
    this.#options = options;
  }

  /** Where the pod's containers find the volume. */
  pathOf(pod: Pod, volume: CsiVolume): string {
    if (volume.isBlock) return this.#options.blocks.pathOf(this.#blockOf(uidOf(pod), volume));
    return `${this.#dirOf(pod, volume)}/mount`;
  }

  async publish(wish: PublishWish): Promise<void> {
    const { volume } = wish;
    const step = volume.isBlock ? "MapVolume.MapPodDevice" : "MountVolume.SetUp";
    try {
      await (volume.isBlock ? this.#publishBlock(wish) : this.#publishMount(wish));
    } catch (error) {
      throw mountError(step, volume, criMessage(error));
    }
  }

  #dirOf(pod: Pod, { specName }: CsiVolume): string {
    return podVolumeDir(podDir(this.#options.rootDir, uidOf(pod)), specName);
  }

  #blockOf(podUid: string, { specName }: Pick<CsiVolume, "specName">): BlockVolume {
    const mapDir = `${devicesDir(this.#options.rootDir, csiPlugin)}/${specName}/dev`;
    return { plugin: csiPlugin, specName, podUid, mapDir };
  }

  async #publishMount(wish: PublishWish): Promise<void> {
    const { pod, volume, object, isRemount } = wish;
    const { host, drivers, notes, nodeName, stager } = this.#options;
    const client = clientOf(drivers, volume.driver, "mounter.SetUpAt failed to get CSI client");
    const problem = lifecycleProblem(volume, object);
    if (problem !== undefined) {
      const what = "mounter.SetupAt failed to check volume lifecycle mode";
      throw new Error(`kubernetes.io/csi: ${what}: ${problem}`);
    }
    const dir = this.#dirOf(pod, volume);
    const isStaged =
      volume.lifecycle === "Persistent" && (await client.can("STAGE_UNSTAGE_VOLUME"));
    const { fsGroup: group, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    const driverTakesGroup = await client.can("VOLUME_MOUNT_GROUP");
    const { attributes, secrets } = await this.#inputs(wish);
    await host.mkdir(dir, 0o750);
    await notes.write(dir, {
      specVolID: volume.specName,
      volumeHandle: volume.handle,
      driverName: volume.driver,
      nodeName,
      volumeLifecycleMode: volume.lifecycle,
      attachmentID: attachmentName(volume.handle, volume.driver, nodeName),
    });
    try {
      await client.publish({
        volumeId: volume.handle,
        stagingPath: isStaged ? stager.placeOf(volume).staging : "",
        targetPath: `${dir}/mount`,
        readOnly: volume.readOnly,
        publishContext: wish.publishContext,
        secrets,
        context: attributes,
        wish: wishOf(volume, driverTakesGroup ? group : undefined),
      });
    } catch (error) {
      // What the pod sees already must stay, for a later refresh could not bring it back.
      if (isFinal(error) && !isRemount) await this.#clear(dir);
      throw error;
    }
    if (driverTakesGroup || group === undefined || !takesGroup(volume, object)) return;
    const onlyOnRootMismatch = fsGroupChangePolicy === "OnRootMismatch";
    const { readOnly } = volume;
    await giveToGroup(host, `${dir}/mount`, { group, readOnly, onlyOnRootMismatch });
  }

  async #publishBlock(wish: PublishWish): Promise<void> {
    const { pod, volume } = wish;
    const { host, drivers, rootDir, stager, blocks } = this.#options;
    const client = clientOf(
      drivers,
      volume.driver,
      "blockMapper.MapPodDevice failed to get CSI client",
    );
    const { attributes, secrets } = await this.#inputs(wish);
    const publishDir = `${devicesDir(rootDir, csiPlugin)}/publish/${volume.specName}`;
    await host.mkdir(publishDir, 0o750);
    const targetPath = `${publishDir}/${uidOf(pod)}`;
    // First what a teardown looks for: a driver may have done half of its work.
    const block = this.#blockOf(uidOf(pod), volume);
    const link = blocks.pathOf(block);
    await host.mkdir(link.slice(0, link.lastIndexOf("/")), 0o750);
    if ((await host.readLink(link)) === undefined) await host.symlink(targetPath, link);
    await client.publish({
      volumeId: volume.handle,
      stagingPath: stager.placeOf(volume).staging,
      targetPath,
      readOnly: volume.readOnly,
      publishContext: wish.publishContext,
      secrets,
      context: attributes,
      wish: wishOf(volume, undefined),
    });
    await blocks.map(block, targetPath);
  }

  /** Attributes and secrets with what the driver wants to know of the pod. */
  async #inputs({ pod, volume, object }: PublishWish) {
    const { objects, tokens } = this.#options;
    const { tokenRequests = [], podInfoOnMount, serviceAccountTokenInSecrets } = object?.spec ?? {};
    const secrets = await secretTexts(objects, "NodePublishSecretRef", volume.publishSecret);
    const info = podInfoOnMount === true ? podInfo(pod, volume) : {};
    const attributes = { ...volume.attributes, ...info };
    if (tokenRequests.length === 0 || volume.isBlock) return { attributes, secrets };
    const issued = await Promise.all(
      tokenRequests.map(async ({ audience, expirationSeconds }) => {
        const seconds = expirationSeconds ?? 3600;
        return [audience, await tokens.issued(pod, audience, seconds)] as const;
      }),
    );
    const given = { [tokensKey]: JSON.stringify(Object.fromEntries(issued.toSorted())) };
    return serviceAccountTokenInSecrets === true
      ? { attributes, secrets: { ...secrets, ...given } }
      : { attributes: { ...attributes, ...given }, secrets };
  }

  /** Safe to repeat. */
  async unpublish({ podUid, data, isBlock, dir }: PublishedVolume): Promise<void> {
    const { drivers, rootDir, blocks } = this.#options;
    const { specVolID: specName = "", driverName, volumeHandle } = data;
    const step = isBlock ? "UnmapVolume.UnmapPodDevice" : "UnmountVolume.TearDown";
    try {
      const client = clientOf(drivers, driverName, "Unmounter.TearDownAt failed to get CSI client");
      if (isBlock) {
        const block = this.#blockOf(podUid, { specName });
        const publishDir = `${devicesDir(rootDir, csiPlugin)}/publish/${specName}`;
        await blocks.unmap(block);
        await client.unpublish(volumeHandle, `${publishDir}/${podUid}`);
        await blocks.unlink(block);
      } else {
        await this.#unpublishMount(client, volumeHandle, dir);
      }
    } catch (error) {
      throw new Error(`${step} failed for volume "${specName}" : ${criMessage(error)}`);
    }
  }

  async #unpublishMount(client: CsiClient, handle: string, dir: string): Promise<void> {
    await client.unpublish(handle, `${dir}/mount`);
    await this.#clear(dir);
    if (!(await isMountPoint(this.#options.runtime, `${dir}/mount`))) return;
    throw new Error(`${dir}/mount is still mounted`);
  }

  /** Removes the kubelet's own files, unless something is mounted there still. */
  async #clear(dir: string): Promise<void> {
    const { host, runtime } = this.#options;
    if (await isMountPoint(runtime, `${dir}/mount`)) return;
    // Only when it is empty: files in it would be the driver's.
    if ((await host.stat(`${dir}/mount`, false)) !== undefined) {
      await host.removeDirectory(`${dir}/mount`);
    }
    await host.remove(`${dir}/${dataFile}`);
    await host.removeDirectory(dir);
  }
}
