import { expect, test } from "bun:test";
import { defaultSettings } from "../agent/kubelet/kubelet-settings.ts";
import { createSimulatedRuntime } from "../runtime/simulated.ts";
import { notePlaces, readPlaces } from "./places.ts";
import { findServices, type Service, serviceOf } from "./services.ts";
import { binFolders, leadsToK3, programsOf } from "./uninstall-plan.ts";

/** As K3s' installer writes them. */
const unit = `[Unit]
Description=Lightweight Kubernetes

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s \\
    server \\
\t'--data-dir=/srv/k 3s' \\
\t'--debug' \\

`;
const script = `#!/sbin/openrc-run

supervisor=supervise-daemon
name=k3s-agent
command="/opt/bin/k3s"
command_args="agent \\
    >>/var/log/k3s-agent.log 2>&1"
`;

const none = (): undefined => undefined;
const named = (name: string, program: string): Service => ({
  name,
  manager: "systemd",
  file: `/etc/systemd/system/${name}.service`,
  envFile: `/etc/systemd/system/${name}.service.env`,
  program,
  dataDir: undefined,
});

test("serviceOf() reads what K3s' installer writes for systemd and OpenRC", () => {
  const path = "/etc/systemd/system/k3s.service";
  expect(serviceOf({ manager: "systemd", path, text: unit }, none)).toEqual({
    ...named("k3s", "/usr/local/bin/k3s"),
    dataDir: "/srv/k 3s",
  });
  const env = (file: string): string | undefined =>
    file === "/etc/rancher/k3s/k3s-agent.env" ? "K3S_URL='x'\nK3S_DATA_DIR='/srv/a'\n" : undefined;
  const openrc = { manager: "openrc", path: "/etc/init.d/k3s-agent", text: script } as const;
  expect(serviceOf(openrc, env)).toMatchObject({
    name: "k3s-agent",
    program: "/opt/bin/k3s",
    dataDir: "/srv/a",
  });
});

test("serviceOf() leaves services of other programs and other files", () => {
  const system = (name: string, text: string): Service | undefined =>
    serviceOf({ manager: "systemd", path: `/etc/systemd/system/${name}`, text }, none);
  expect(system("k3s.service", "[Service]\nExecStart=/usr/bin/sleep 5\n")).toBeUndefined();
  expect(system("k3sup.service", unit)).toBeUndefined();
  expect(system("k3s.service.env", unit)).toBeUndefined();
  expect(system("k3.service", unit)?.name).toBe("k3");
});

test("findServices() looks where the installer was told to write units", async () => {
  const { files } = createSimulatedRuntime(1);
  await files.writeAtomic("/units/k3s.service", unit, 0o644);
  await files.writeAtomic("/units/other.service", unit, 0o644);
  await files.writeAtomic("/etc/init.d/k3s-agent", script, 0o755);
  const found = await findServices({ files }, { INSTALL_K3S_SYSTEMD_DIR: "/units" });
  expect(found.map(({ manager, name }) => `${manager} ${name}`)).toEqual([
    "systemd k3s",
    "openrc k3s-agent",
  ]);
});

test("programs go where a service starts them, under the names of installers only", () => {
  const own = named("k3s-agent", "/srv/bin/k3s");
  expect(binFolders([own])).toEqual(["/srv/bin", "/usr/local/bin", "/opt/bin"]);
  expect(programsOf([own])).toContain("/srv/bin/k3s");
  expect(programsOf([own])).toContain("/srv/bin/k3s-agent-uninstall.sh");
  expect(programsOf([named("k3", "/home/me/dist/k3-amd64")])).not.toContain(
    "/home/me/dist/k3-amd64",
  );
  expect(programsOf([])).not.toContain("/usr/local/bin/k3s");
  expect(["k3s", "/usr/local/bin/k3", "kubectl-1.36", undefined].map(leadsToK3)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test("notePlaces() takes down what flags name, and what k3 made of it", async () => {
  const { files } = createSimulatedRuntime(1);
  const dataDir = "/var/lib/rancher/k3s";
  const usual = { dataDir, kubelet: defaultSettings };
  await notePlaces(files, usual, ["/etc/rancher/k3s/k3s.yaml"]);
  expect(await files.list(dataDir)).toEqual([]);
  await files.writeAtomic("/root/.kube/config", "theirs", 0o600);
  await notePlaces(files, usual, ["/root/.kube/config"]);
  await notePlaces(files, usual, ["/root/k3.yaml"]);
  await files.writeAtomic("/root/k3.yaml", "ours", 0o600);
  const moved = { dataDir, kubelet: { ...defaultSettings, rootDir: "/srv/kubelet" } };
  await notePlaces(files, moved, ["/root/k3.yaml"]);
  expect(await readPlaces(files, dataDir)).toEqual({
    files: ["/root/k3.yaml"],
    kubelets: ["/var/lib/kubelet", "/srv/kubelet"],
  });
});
