/** Warnings of volumes whose files lie over one another. */
import type { DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection } from "../gen/core-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";

interface Placed {
  readonly path: string;
  readonly source: string;
}

type Items = readonly DeepReadonly<KeyToPath | DownwardAPIVolumeFile>[] | undefined;

function placed(items: Items, source: string): readonly Placed[] {
  return (items ?? []).map(({ path }) => ({ path: path ?? "", source }));
}

function shown({ path, source }: Placed): string {
  return source === "" ? JSON.stringify(path) : `${JSON.stringify(path)} (${source})`;
}

/** Each path with those before it that are the same, above or below. */
function overlaps(all: readonly Placed[]): readonly string[] {
  const cut = all.map(({ path, source }) => ({ path: path.replace(/\/+$/, ""), source }));
  return cut.flatMap((one, index) =>
    cut
      .slice(0, index)
      .filter(({ path }) => {
        if (path === "" || one.path === "") return false;
        return `${path}/`.startsWith(`${one.path}/`) || `${one.path}/`.startsWith(`${path}/`);
      })
      .map((other) => `${shown(one)} with ${shown(other)}`),
  );
}

function projectedPaths(source: DeepReadonly<VolumeProjection>): readonly Placed[] {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  const { clusterTrustBundle: bundle, podCertificate } = source;
  if (configMap?.items)
    return placed(configMap.items, `ConfigMap ${JSON.stringify(configMap.name ?? "")}`);
  if (secret?.items) return placed(secret.items, `Secret ${JSON.stringify(secret.name ?? "")}`);
  if (downwardAPI?.items) return placed(downwardAPI.items, "DownwardAPI");
  if (serviceAccountToken)
    return [{ path: serviceAccountToken.path ?? "", source: "ServiceAccountToken" }];
  if (bundle) {
    const name = bundle.name ?? bundle.signerName ?? "";
    return [{ path: bundle.path ?? "", source: `ClusterTrustBundle ${JSON.stringify(name)}` }];
  }
  const { certificateChainPath, keyPath, credentialBundlePath } = podCertificate ?? {};
  return [
    { path: certificateChainPath ?? "", source: "PodCertificate chain" },
    { path: keyPath ?? "", source: "PodCertificate key" },
    { path: credentialBundlePath ?? "", source: "PodCertificate credential bundle" },
  ].filter(({ path }) => path !== "");
}

/** The warnings of one volume. */
export function volumeWarnings(volume: DeepReadonly<Volume>): readonly string[] {
  const { configMap, secret, downwardAPI, projected } = volume;
  const name = JSON.stringify(volume.name);
  const told = (what: string, paths: readonly Placed[]): readonly string[] =>
    overlaps(paths).map((one) => `volume ${name} (${what}): overlapping paths: ${one}`);
  const sources = projected?.sources ?? [];
  const empty = sources.filter((source) => Object.values(source).every((one) => one === undefined));
  return [
    ...told(`ConfigMap ${JSON.stringify(configMap?.name ?? "")}`, placed(configMap?.items, "")),
    ...told(`Secret ${JSON.stringify(secret?.secretName ?? "")}`, placed(secret?.items, "")),
    ...told("DownwardAPI", placed(downwardAPI?.items, "")),
    ...empty.map(() => `volume ${name} (Projected) has no sources provided`),
    ...told("Projected", sources.flatMap(projectedPaths)),
  ];
}
