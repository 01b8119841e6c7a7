/** What this k3 calls itself; `/version`, the node and the command line tell the same. */
export const kubernetesVersion = "v1.36.4";
export const k3Version = `${kubernetesVersion}+k3.1`;

/** The object of `/version` (version.Info of apimachinery). */
export const versionInfo: Readonly<Record<string, string>> = {
  major: "1",
  minor: "36",
  emulationMajor: "1",
  emulationMinor: "36",
  minCompatibilityMajor: "1",
  minCompatibilityMinor: "35",
  gitVersion: k3Version,
  gitCommit: process.env.K3_COMMIT ?? "unknown",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: `bun${Bun.version}`,
  compiler: "bun",
  platform: `linux/${process.arch === "arm64" ? "arm64" : "amd64"}`,
};
