/** Busybox as its authors configure it, linked statically: Debian's own leaves programs out. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { machineMirror, mustRun, PrivateApt } from "../../scripts/apt.ts";
import { BUILD } from "../../scripts/deps.ts";
import { OUT } from "./suite.ts";

/** The suite of Debian that carries the version of the published image, 1.37. */
const SUITE = "trixie";
/** `tc` does not build against the headers of every kernel, and no test calls it. */
const SETTINGS = [/^# (CONFIG_STATIC) is not set$/m, /^(CONFIG_TC)=y$/m] as const;

/** Builds it for this machine from Debian's source package, once; answers its path. */
export async function buildBusybox(): Promise<string> {
  const path = join(OUT, `busybox-${SUITE}`);
  if (existsSync(path)) return path;
  console.log("Building busybox");
  const dir = join(BUILD, "conformance/busybox-source");
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const apt = new PrivateApt(join(BUILD, `apt-${SUITE}-source`), SUITE, "deb-src");
  await apt.update(await machineMirror());
  await apt.downloadSource("busybox", dir);
  const original = readdirSync(dir).find((name) => name.includes(".orig.tar"));
  if (original === undefined) throw new Error(`${SUITE} has no source of busybox.`);
  const mend = "The build needs gcc, make and the C library for static linking.";
  await mustRun(["tar", "-xf", original, "--strip-components=1"], mend, { cwd: dir });
  await mustRun(["make", "defconfig"], mend, { cwd: dir });
  const config = join(dir, ".config");
  const [isStatic, trafficControl] = SETTINGS;
  const text = readFileSync(config, "utf8")
    .replace(isStatic, "$1=y")
    .replace(trafficControl, "# $1 is not set");
  await Bun.write(config, text);
  await mustRun(["sh", "-c", "yes '' | make oldconfig && nice make -j2 busybox"], mend, {
    cwd: dir,
  });
  await mustRun(["cp", join(dir, "busybox"), path], mend);
  rmSync(dir, { recursive: true });
  return path;
}
