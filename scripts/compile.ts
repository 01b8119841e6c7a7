/** Compiles our own small C programs: static, so that they run where there is no C library. */
import { mustRun } from "./apt.ts";
import type { Arch } from "./deps.ts";
import { hostArch } from "./images.ts";

export const TRIPLES: Readonly<Record<Arch, string>> = {
  amd64: "x86_64-linux-gnu",
  arm64: "aarch64-linux-gnu",
};

/** Compiles for `arch` with the machine's own or cross compiler; `more` are further arguments. */
export async function compileStatic(
  arch: Arch,
  source: string,
  out: string,
  more: readonly string[] = [],
): Promise<void> {
  const compiler = arch === hostArch() ? "gcc" : `${TRIPLES[arch]}-gcc`;
  const flags = ["-std=gnu11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror"];
  // Paths are cut to their buffers on purpose; the compiler cannot see that they fit.
  flags.push("-Wno-format-truncation", "-ffunction-sections", "-Wl,--gc-sections");
  await mustRun(
    [compiler, ...flags, source, ...more, "-o", out],
    "Install the compiler: apt-get install gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
  );
}
