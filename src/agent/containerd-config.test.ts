import { expect, test } from "bun:test";
import { renderContainerdConfig } from "./containerd-config.ts";

const config = {
  root: "/data/agent/containerd",
  state: "/run/k3s/containerd",
  socketPath: "/run/k3s/containerd/containerd.sock",
  binDir: "/data/bin",
  cniBinDir: "/data/cni",
  cniConfDir: "/data/agent/etc/cni/net.d",
  registryConfigDir: "/data/agent/etc/containerd/certs.d",
  pauseImage: "k3.local/pause:1",
  snapshotter: "overlayfs",
  systemdCgroup: false,
  restrictOomScore: true,
  streamPort: 10010,
  cgroup: "/k3s/containerd",
} as const;

test("renderContainerdConfig() writes TOML that says what was decided", () => {
  const parsed = Bun.TOML.parse(renderContainerdConfig(config)) as {
    version: number;
    cgroup?: { path: string };
    plugins: Record<string, Record<string, unknown>>;
  };
  const { plugins } = parsed;
  const runtime = plugins["io.containerd.cri.v1.runtime"];
  expect(parsed.version).toBe(3);
  expect(parsed.cgroup).toEqual({ path: "/k3s/containerd" });
  expect(renderContainerdConfig({ ...config, cgroup: undefined })).not.toContain("[cgroup]");
  expect(runtime?.restrict_oom_score_adj).toBe(true);
  expect(runtime?.cni).toEqual({
    bin_dirs: ["/data/cni"],
    conf_dir: "/data/agent/etc/cni/net.d",
    use_internal_loopback: true,
  });
  const images = plugins["io.containerd.cri.v1.images"];
  expect(images?.pinned_images).toEqual({ sandbox: "k3.local/pause:1" });
});
