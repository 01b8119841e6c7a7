/** `k3 crictl` pull, rmi, stop, start, rm, stopp and rmp. */
import { ContainerState, PodSandboxState } from "../gen/cri/api_pb.ts";
import { allFlag, type Call, flag, quietFlag, type SubcommandRow } from "./crictl-call.ts";
import { UsageError } from "./flags.ts";

const forceFlag = flag("force", "f", "bool", "Also those that run");

export const changeRows: Readonly<Record<string, SubcommandRow>> = {
  pull: {
    usage: "pull [-q] IMAGE",
    flags: [quietFlag, flag("creds", "", "string", "user[:password] of the registry")],
    namesMin: 1,
    run: pull,
  },
  rmi: {
    usage: "rmi IMAGE... | rmi --prune | rmi --all",
    flags: [allFlag, flag("prune", "q", "bool", "Remove all images that no container uses")],
    namesMin: 0,
    run: removeImages,
  },
  stop: {
    usage: "stop [--timeout SECONDS] CONTAINER...",
    flags: [flag("timeout", "t", "int", "Seconds to wait before it is killed", "0")],
    namesMin: 1,
    run: (call) => eachNamed(call, stopContainer),
  },
  start: {
    usage: "start CONTAINER...",
    flags: [],
    namesMin: 1,
    run: (call) =>
      eachNamed(call, async (containerId) => {
        await call.cri.runtime.startContainer({ containerId });
        return containerId;
      }),
  },
  rm: {
    usage: "rm [-f] CONTAINER... | rm [-f] --all",
    flags: [forceFlag, allFlag],
    namesMin: 0,
    run: removeContainers,
  },
  stopp: {
    usage: "stopp POD...",
    flags: [],
    namesMin: 1,
    run: (call) =>
      eachNamed(call, async (podSandboxId) => {
        await call.cri.runtime.stopPodSandbox({ podSandboxId });
        return `Stopped sandbox ${podSandboxId}`;
      }),
  },
  rmp: {
    usage: "rmp [-f] POD... | rmp [-f] --all",
    flags: [forceFlag, allFlag],
    namesMin: 0,
    run: removePods,
  },
};

/** Does one thing after the other; a failure is told and the rest still done. */
async function eachNamed(
  call: Call,
  act: (name: string, call: Call) => Promise<string>,
  names = call.names,
): Promise<number> {
  let failed = 0;
  for (const name of names) {
    try {
      call.context.out(`${await act(name, call)}\n`);
    } catch (error) {
      if (names.length === 1) throw error;
      failed++;
      call.context.err(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  return failed === 0 ? 0 : 1;
}

async function stopContainer(containerId: string, { cri, flags }: Call): Promise<string> {
  const timeout = BigInt(Math.max(0, flags.int("timeout")));
  await cri.runtime.stopContainer({ containerId, timeout });
  return containerId;
}

async function removeContainers(call: Call): Promise<number> {
  const { cri, flags } = call;
  let { names } = call;
  if (flags.bool("all")) {
    const { containers } = await cri.runtime.listContainers({});
    names = containers.map(({ id }) => id);
  } else if (names.length === 0) throw new UsageError(`Usage: k3 crictl ${changeRows.rm?.usage}`);
  return eachNamed(call, removeContainer, names);
}

async function removeContainer(containerId: string, { cri, flags }: Call): Promise<string> {
  const { status } = await cri.runtime.containerStatus({ containerId });
  if (status?.state === ContainerState.CONTAINER_RUNNING) {
    if (!flags.bool("force"))
      throw new Error(`container ${JSON.stringify(containerId)} is running, please stop it first`);
    await cri.runtime.stopContainer({ containerId, timeout: 0n });
  }
  await cri.runtime.removeContainer({ containerId });
  return containerId;
}

async function removePods(call: Call): Promise<number> {
  const { cri, flags } = call;
  let { names } = call;
  if (flags.bool("all")) {
    const { items } = await cri.runtime.listPodSandbox({});
    names = items.map(({ id }) => id);
  } else if (names.length === 0) throw new UsageError(`Usage: k3 crictl ${changeRows.rmp?.usage}`);
  return eachNamed(call, removePod, names);
}

async function removePod(podSandboxId: string, { cri, flags }: Call): Promise<string> {
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId });
  if (status?.state === PodSandboxState.SANDBOX_READY) {
    if (!flags.bool("force"))
      throw new Error(
        `pod sandbox ${JSON.stringify(podSandboxId)} is running, please stop it first`,
      );
    await cri.runtime.stopPodSandbox({ podSandboxId });
  }
  await cri.runtime.removePodSandbox({ podSandboxId });
  return `Removed sandbox ${podSandboxId}`;
}

async function pull(call: Call): Promise<number> {
  const { cri, flags, context, names } = call;
  const [image = ""] = names;
  const [username = "", ...rest] = flags.string("creds").split(":");
  const auth = username === "" ? {} : { auth: { username, password: rest.join(":") } };
  const { imageRef } = await cri.images.pullImage({ image: { image }, ...auth });
  context.out(flags.bool("quiet") ? `${imageRef}\n` : `Image is up to date for ${imageRef}\n`);
  return 0;
}

async function removeImages(call: Call): Promise<number> {
  const { cri, flags, names, context } = call;
  if (names.length === 0 && !flags.bool("prune") && !flags.bool("all"))
    throw new UsageError(`Usage: k3 crictl ${changeRows.rmi?.usage}`);
  const wanted = names.length > 0 ? names : await removable(call);
  let failed = 0;
  for (const image of wanted) {
    const { image: found } = await cri.images.imageStatus({ image: { image } });
    if (found === undefined) {
      context.err(`no such image ${JSON.stringify(image)}\n`);
      failed++;
      continue;
    }
    await cri.images.removeImage({ image: { image: found.id } });
    const tags = found.repoTags.length === 0 ? [found.id] : found.repoTags;
    for (const tag of tags) context.out(`Deleted: ${tag}\n`);
  }
  return failed === 0 ? 0 : 1;
}

/** All images, or those that nothing uses and nobody has pinned. */
async function removable({ cri, flags }: Call): Promise<readonly string[]> {
  const [{ images }, { containers }] = await Promise.all([
    cri.images.listImages({}),
    cri.runtime.listContainers({}),
  ]);
  const used = new Set(containers.flatMap(({ imageRef, imageId }) => [imageRef, imageId]));
  return images
    .filter(({ id, pinned }) => flags.bool("all") || (!pinned && !used.has(id)))
    .map(({ id }) => id);
}
