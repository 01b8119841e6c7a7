/** `k3 crictl` ps, pods, images and the stats: what the runtime holds, as tables. */
import { criJson } from "../agent/cri/json.ts";
import {
  type Container,
  ContainerState,
  type ContainerStats,
  type PodSandbox,
  type PodSandboxStats,
} from "../gen/cri/api_pb.ts";
import {
  allFlag,
  type Call,
  flag,
  labelFlag,
  labelSelector,
  lastFlag,
  latestFlag,
  newest,
  noTruncFlag,
  outputFlag,
  pattern,
  quietFlag,
  type SubcommandRow,
  shortId,
  showList,
  type TableColumn,
} from "./crictl-call.ts";
import { agoText, containerStates, imageRows, podStates, sizeText } from "./crictl-format.ts";
import { UsageError } from "./flags.ts";

const stateFlag = flag("state", "s", "string", "Only those in this state");
const listFlags = [quietFlag, outputFlag, noTruncFlag, labelFlag, lastFlag, latestFlag, stateFlag];
const secondsFlag = flag("seconds", "s", "int", "Seconds to measure for", "1");

export const listRows: Readonly<Record<string, SubcommandRow>> = {
  ps: {
    usage: "ps [-a] [-q] [-o FORMAT] [--name PATTERN] [--image TEXT] [--pod ID] [--state STATE]",
    flags: [
      ...listFlags,
      allFlag,
      flag("id", "", "string", "Only the container of this id"),
      flag("image", "", "string", "Only containers of this image"),
      flag("name", "", "string", "Only containers whose name matches"),
      flag("namespace", "", "string", "Only containers of this namespace"),
      flag("pod", "p", "string", "Only containers of this pod"),
    ],
    namesMin: 0,
    run: listContainers,
  },
  pods: {
    usage: "pods [-q] [-o FORMAT] [--name PATTERN] [--namespace PATTERN] [--state STATE]",
    flags: [
      ...listFlags,
      flag("id", "", "string", "Only the pod of this id"),
      flag("name", "", "string", "Only pods whose name matches"),
      flag("namespace", "", "string", "Only pods whose namespace matches"),
    ],
    namesMin: 0,
    run: listPods,
  },
  images: {
    usage: "images [-q] [-o FORMAT] [--digests] [IMAGE]",
    flags: [quietFlag, outputFlag, noTruncFlag, flag("digests", "", "bool", "Show digests too")],
    namesMin: 0,
    run: listImages,
  },
  stats: {
    usage: "stats [-o FORMAT] [--pod ID] [CONTAINER]",
    flags: [
      allFlag,
      outputFlag,
      noTruncFlag,
      labelFlag,
      secondsFlag,
      flag("id", "", "string", "Only the container of this id"),
      flag("pod", "p", "string", "Only containers of this pod"),
    ],
    namesMin: 0,
    run: containerStats,
  },
  statsp: {
    usage: "statsp [-o FORMAT] [POD]",
    flags: [
      outputFlag,
      noTruncFlag,
      labelFlag,
      secondsFlag,
      flag("id", "", "string", "Only the pod of this id"),
    ],
    namesMin: 0,
    run: podStats,
  },
};

const byAge = (a: { readonly createdAt: bigint }, b: { readonly createdAt: bigint }): number =>
  Number(b.createdAt - a.createdAt);

/** `--state` as a number of the protocol. */
function stateOf<T extends number>(
  { flags }: Call,
  names: Readonly<Record<T, string>>,
): { readonly state: T } | undefined {
  const asked = flags.string("state").toLowerCase();
  if (asked === "") return undefined;
  const found = Object.entries<string>(names).find(([, name]) => name.toLowerCase() === asked);
  if (found === undefined) throw new UsageError(`Cannot use --state=${asked}: there is no such`);
  return { state: Number(found[0]) as T };
}

async function listContainers(call: Call): Promise<number> {
  const { cri, flags, clock } = call;
  const asked = stateOf(call, containerStates);
  const narrows = flags.bool("all") || flags.isGiven("last") || flags.bool("latest");
  const state = asked ?? (narrows ? undefined : { state: ContainerState.CONTAINER_RUNNING });
  const answer = await cri.runtime.listContainers({
    filter: {
      id: flags.string("id"),
      podSandboxId: flags.string("pod"),
      labelSelector: labelSelector(call),
      ...(state === undefined ? {} : { state }),
    },
  });
  const name = pattern(call, "name");
  const namespace = flags.string("namespace");
  const image = flags.string("image");
  const imageIds = image === "" ? [] : await idsOfImage(call, image);
  const matching = answer.containers
    .filter(({ metadata }) => name.test(metadata?.name ?? ""))
    .filter(({ labels }) => namespace === "" || labels[namespaceLabel] === namespace)
    .filter(
      ({ imageRef, imageId }) =>
        image === "" || imageIds.some((id) => id === imageRef || id === imageId),
    );
  answer.containers = [...newest(call, matching.toSorted(byAge))];
  const columns: readonly TableColumn<Container>[] = [
    ["CONTAINER", ({ id }) => shortId(call, id)],
    ["IMAGE", (one) => imageName(call, one.image?.image ?? "")],
    ["CREATED", ({ createdAt }) => agoText(createdAt, clock.now())],
    ["STATE", (one) => containerStates[one.state]],
    ["NAME", ({ metadata }) => metadata?.name ?? ""],
    ["ATTEMPT", ({ metadata }) => String(metadata?.attempt ?? 0)],
    ["POD ID", ({ podSandboxId }) => shortId(call, podSandboxId)],
    ["POD", ({ labels }) => labels["io.kubernetes.pod.name"] ?? "unknown"],
    ["NAMESPACE", ({ labels }) => labels[namespaceLabel] ?? "unknown"],
  ];
  const json = () => criJson(answer);
  return showList(call, { items: answer.containers, columns, idOf: ({ id }) => id, json });
}

const namespaceLabel = "io.kubernetes.pod.namespace";

/** An image that is named by its digest is cut like an id. */
function imageName(call: Call, image: string): string {
  return /^(sha256:)?[0-9a-f]{64}$/.test(image) ? shortId(call, image) : image;
}

async function idsOfImage({ cri }: Call, image: string): Promise<readonly string[]> {
  const { image: found } = await cri.images.imageStatus({ image: { image } });
  return found === undefined ? [] : [found.id, ...found.repoDigests, ...found.repoTags];
}

async function listPods(call: Call): Promise<number> {
  const { cri, flags, clock } = call;
  const state = stateOf(call, podStates);
  const answer = await cri.runtime.listPodSandbox({
    filter: {
      id: flags.string("id"),
      labelSelector: labelSelector(call),
      ...(state === undefined ? {} : { state }),
    },
  });
  const [name, namespace] = [pattern(call, "name"), pattern(call, "namespace")];
  const matching = answer.items.filter(
    ({ metadata }) => name.test(metadata?.name ?? "") && namespace.test(metadata?.namespace ?? ""),
  );
  answer.items = [...newest(call, matching.toSorted(byAge))];
  const columns: readonly TableColumn<PodSandbox>[] = [
    ["POD ID", ({ id }) => shortId(call, id)],
    ["CREATED", ({ createdAt }) => agoText(createdAt, clock.now())],
    ["STATE", (one) => podStates[one.state]],
    ["NAME", ({ metadata }) => metadata?.name ?? ""],
    ["NAMESPACE", ({ metadata }) => metadata?.namespace ?? ""],
    ["ATTEMPT", ({ metadata }) => String(metadata?.attempt ?? 0)],
    ["RUNTIME", ({ runtimeHandler }) => runtimeHandler || "(default)"],
  ];
  const json = () => criJson(answer);
  return showList(call, { items: answer.items, columns, idOf: ({ id }) => id, json });
}

async function listImages(call: Call): Promise<number> {
  const [image = ""] = call.names;
  const answer = await call.cri.images.listImages({});
  // containerd takes no notice of a filter.
  if (image !== "") {
    const ids = await idsOfImage(call, image);
    answer.images = answer.images.filter(({ id }) => ids.includes(id));
  }
  const rows = imageRows(answer.images, (id) => shortId(call, id));
  const columns: TableColumn<(typeof rows)[number]>[] = [
    ["IMAGE", ({ name }) => name],
    ["TAG", ({ tag }) => tag],
    ["IMAGE ID", ({ id }) => id],
    ["SIZE", ({ size }) => size],
  ];
  if (call.flags.bool("digests")) columns.splice(2, 0, ["DIGEST", ({ digest }) => digest]);
  const json = () => criJson(answer);
  // One line per tag, but one id per image.
  if (call.flags.bool("quiet"))
    return showList(call, { items: answer.images, columns: [], idOf: ({ id }) => id, json });
  return showList(call, { items: rows, columns, idOf: ({ id }) => id, json });
}

interface CpuReading {
  readonly timestamp: bigint;
  readonly usageCoreNanoSeconds?: { readonly value: bigint } | undefined;
}

/** The share of a core between two readings, in per cent. */
function cpuShare(before: CpuReading | undefined, now: CpuReading | undefined): string {
  const ns = Number((now?.timestamp ?? 0n) - (before?.timestamp ?? 0n));
  const used =
    (now?.usageCoreNanoSeconds?.value ?? 0n) - (before?.usageCoreNanoSeconds?.value ?? 0n);
  return (ns > 0 && before !== undefined ? (Number(used) / ns) * 100 : 0).toFixed(2);
}

function sampleMs({ flags }: Call): number {
  return Math.max(1, flags.int("seconds")) * 1000;
}

async function containerStats(call: Call): Promise<number> {
  const { cri, names, flags, clock } = call;
  const filter = {
    id: names[0] ?? flags.string("id"),
    podSandboxId: flags.string("pod"),
    labelSelector: labelSelector(call),
  };
  const first = await cri.runtime.listContainerStats({ filter });
  await clock.sleep(sampleMs(call), new AbortController().signal);
  const answer = await cri.runtime.listContainerStats({ filter });
  if (!flags.bool("all")) {
    const state = { state: ContainerState.CONTAINER_RUNNING };
    const { containers } = await cri.runtime.listContainers({ filter: { state } });
    const running = new Set(containers.map(({ id }) => id));
    answer.stats = answer.stats.filter(({ attributes }) => running.has(attributes?.id ?? ""));
  }
  const before = new Map(first.stats.map((one) => [one.attributes?.id, one.cpu]));
  const columns: readonly TableColumn<ContainerStats>[] = [
    ["CONTAINER", ({ attributes }) => shortId(call, attributes?.id ?? "")],
    ["NAME", ({ attributes }) => attributes?.metadata?.name ?? ""],
    ["CPU %", ({ attributes, cpu }) => cpuShare(before.get(attributes?.id), cpu)],
    ["MEM", ({ memory }) => sizeText(memory?.workingSetBytes?.value ?? 0n)],
    ["DISK", ({ writableLayer }) => sizeText(writableLayer?.usedBytes?.value ?? 0n)],
    ["INODES", ({ writableLayer }) => String(writableLayer?.inodesUsed?.value ?? 0n)],
    ["SWAP", ({ swap }) => sizeText(swap?.swapUsageBytes?.value ?? 0n)],
  ];
  const idOf = (one: ContainerStats) => one.attributes?.id ?? "";
  return showList(call, { items: answer.stats, columns, idOf, json: () => criJson(answer) });
}

async function podStats(call: Call): Promise<number> {
  const { cri, names, flags, clock } = call;
  const filter = { id: names[0] ?? flags.string("id"), labelSelector: labelSelector(call) };
  const first = await cri.runtime.listPodSandboxStats({ filter });
  await clock.sleep(sampleMs(call), new AbortController().signal);
  const answer = await cri.runtime.listPodSandboxStats({ filter });
  const before = new Map(first.stats.map((one) => [one.attributes?.id, one.linux?.cpu]));
  const columns: readonly TableColumn<PodSandboxStats>[] = [
    ["POD", ({ attributes }) => attributes?.metadata?.name ?? ""],
    ["POD ID", ({ attributes }) => shortId(call, attributes?.id ?? "")],
    ["CPU %", ({ attributes, linux }) => cpuShare(before.get(attributes?.id), linux?.cpu)],
    ["MEM", ({ linux }) => sizeText(linux?.memory?.workingSetBytes?.value ?? 0n)],
  ];
  const idOf = (one: PodSandboxStats) => one.attributes?.id ?? "";
  return showList(call, { items: answer.stats, columns, idOf, json: () => criJson(answer) });
}
