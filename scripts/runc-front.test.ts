import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileStatic } from "./compile.ts";
import { hostArch } from "./images.ts";

/** A process that stands for a container's first one, until the test is over. */
const sleeper = (command = "exec sleep 60"): Bun.Subprocess => {
  const child = Bun.spawn(["sh", "-c", command], { stdio: ["ignore", "ignore", "ignore"] });
  children.push(child);
  return child;
};
const children: Bun.Subprocess[] = [];

let dir = "";

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "k3-runc-front-"));
  await compileStatic(hostArch(), join(import.meta.dir, "runc-front.c"), join(dir, "runc"));
  // Stands for runc itself: says what it was asked.
  writeFileSync(join(dir, "runc-real"), '#!/bin/sh\necho "runc: $*"\nexit 7\n');
  chmodSync(join(dir, "runc-real"), 0o755);
});

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

function startOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[19]);
}

interface Parts {
  readonly pid: number;
  readonly start?: number;
  readonly pidPath?: string;
  readonly cgroups?: Readonly<Record<string, string>>;
  readonly config?: object;
}

/** Writes what runc would have noted of the container `id`. */
function note(
  id: string,
  { pid, start, pidPath = "", cgroups = { "": "/none" }, config = {} }: Parts,
): string {
  const folder = join(dir, "root", id);
  mkdirSync(folder, { recursive: true });
  const namespaces = [
    { type: "NEWNET", path: "/run/netns/a" },
    { type: "NEWPID", path: pidPath },
  ];
  const state = {
    id: 'odd "init_process_pid":1',
    init_process_pid: pid,
    init_process_start: start ?? startOf(pid),
    config: { labels: ["a=}]"], namespaces, cgroups: {}, Hooks: { poststop: null }, ...config },
    cgroup_paths: cgroups,
    intel_rdt_path: "",
  };
  writeFileSync(join(folder, "state.json"), JSON.stringify(state));
  return folder;
}

async function front(...words: readonly string[]): Promise<{ code: number; said: string }> {
  const log = ["--log", join(dir, "log.json"), "--log-format", "json"];
  const argv = [join(dir, "runc"), "--root", join(dir, "root"), ...log, ...words];
  const child = Bun.spawn(argv, { stdout: "pipe", stderr: "inherit" });
  const said = await new Response(child.stdout).text();
  return { code: await child.exited, said: said.replace(/.*json /, "").trim() };
}

const done = { code: 0, said: "" };
const asked = (words: string) => ({ code: 7, said: words });

test("kill sends the signal to the container's first process", async () => {
  const process = sleeper();
  note("a", { pid: process.pid });
  expect(await front("kill", "a", "15")).toEqual(done);
  await process.exited;
  expect(process.signalCode).toBe("SIGTERM");
});

test("kill --all of what has ended is done; without --all runc says what is wrong", async () => {
  const process = sleeper();
  note("b", { pid: process.pid });
  process.kill("SIGKILL");
  await process.exited;
  expect(await front("kill", "--all", "b", "9")).toEqual(done);
  expect(await front("kill", "b", "9")).toEqual(asked("kill b 9"));
});

test("a process that has the number of an ended one is left alone", async () => {
  const process = sleeper();
  note("c", { pid: process.pid, start: startOf(process.pid) - 1 });
  expect(await front("kill", "c", "9")).toEqual(asked("kill c 9"));
  expect(await front("kill", "--all", "c", "9")).toEqual(done);
  expect(process.killed || process.exitCode !== null).toBe(false);
  process.kill();
});

test("shared processes and frozen ones are runc's business", async () => {
  const process = sleeper();
  const freezer = join(dir, "frozen");
  mkdirSync(freezer);
  writeFileSync(join(freezer, "freezer.state"), "FROZEN\n");
  note("d", { pid: process.pid, pidPath: "/proc/1/ns/pid" });
  expect(await front("kill", "d", "9")).toEqual(asked("kill d 9"));
  note("e", { pid: process.pid, cgroups: { "": "/none", freezer } });
  expect(await front("kill", "e", "9")).toEqual(asked("kill e 9"));
  writeFileSync(join(freezer, "freezer.state"), "THAWED\n");
  expect(await front("kill", "e", "9")).toEqual(done);
  await process.exited;
  expect(process.signalCode).toBe("SIGKILL");
});

test("start reads the word of the waiting process", async () => {
  const folder = join(dir, "root/f");
  mkdirSync(folder, { recursive: true });
  const fifo = join(folder, "exec.fifo");
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  const process = sleeper(`printf 0 >"${fifo}"; exec sleep 60`);
  note("f", { pid: process.pid });
  expect(await front("start", "f")).toEqual(done);
  expect(existsSync(fifo)).toBe(false);
  expect(await front("start", "f")).toEqual(asked("start f"));
  process.kill();
});

test("delete clears away what has ended, with its cgroups", async () => {
  const process = sleeper();
  const cgroup = join(dir, "cgroup");
  mkdirSync(join(cgroup, "below/more"), { recursive: true });
  const parts = { cgroups: { "": cgroup, memory: join(dir, "never") }, pid: process.pid };
  const folder = note("g", parts);
  expect(await front("delete", "g")).toEqual(asked("delete g"));
  process.kill("SIGKILL");
  await process.exited;
  const start = 1;
  for (const config of [{ Hooks: { poststop: [{}] } }, { cgroups: { Systemd: true } }]) {
    note("g", { ...parts, start, config });
    expect(await front("delete", "g")).toEqual(asked("delete g"));
  }
  note("g", { ...parts, start });
  expect(await front("delete", "g")).toEqual(done);
  expect([existsSync(folder), existsSync(cgroup)]).toEqual([false, false]);
});

test("delete --force of what is not there is done", async () => {
  expect(await front("delete", "--force", "none")).toEqual(done);
  mkdirSync(join(dir, "root/half"), { recursive: true });
  expect(await front("delete", "--force", "half")).toEqual(asked("delete --force half"));
});

test("everything else goes to runc as it is", async () => {
  for (const words of ["list", "exec -p x a", "kill a TERM", "kill ../a 9", "delete -f a"]) {
    expect(await front(...words.split(" "))).toEqual(asked(words));
  }
});
