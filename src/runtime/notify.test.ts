import { dlopen, ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketAddress, takeNotifier, takeWatchdogMs } from "./notify.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  close: { args: ["int"], returns: "int" },
});

/** What a service manager listening at `path` gets from one word of ours. */
function heard(path: string, state: string): string {
  const address = socketAddress(path) ?? new Uint8Array();
  const socket = libc.socket(1, 2, 0);
  try {
    expect(libc.bind(socket, ptr(address), address.length)).toBe(0);
    const env: Record<string, string | undefined> = { NOTIFY_SOCKET: path };
    expect(takeNotifier(env)?.(state)).toBe(true);
    expect(env).toEqual({});
    const bytes = new Uint8Array(64);
    const count = Number(libc.recv(socket, ptr(bytes), bytes.length, 0));
    return new TextDecoder().decode(bytes.subarray(0, count));
  } finally {
    libc.close(socket);
  }
}

test("takeNotifier() reaches a socket in the file system and one in the abstract space", () => {
  const dir = mkdtempSync(join(tmpdir(), "notify-"));
  expect(heard(join(dir, "socket"), "READY=1")).toBe("READY=1");
  rmSync(dir, { recursive: true });
  expect(heard(`@k3-notify-${process.pid}`, "STOPPING=1")).toBe("STOPPING=1");
});

test("takeNotifier() does not wait for a service manager that does not read", () => {
  const path = `@k3-deaf-${process.pid}`;
  const address = socketAddress(path) ?? new Uint8Array();
  const socket = libc.socket(1, 2, 0);
  expect(libc.bind(socket, ptr(address), address.length)).toBe(0);
  const notify = takeNotifier({ NOTIFY_SOCKET: path });
  const taken = Array.from({ length: 2000 }, () => notify?.("WATCHDOG=1"));
  libc.close(socket);
  expect(taken[0]).toBe(true);
  expect(taken.at(-1)).toBe(false);
});

test("takeNotifier() is silent without a service manager, and survives one that left", () => {
  expect(takeNotifier({})).toBeUndefined();
  expect(takeNotifier({ NOTIFY_SOCKET: "" })).toBeUndefined();
  expect(takeNotifier({ NOTIFY_SOCKET: "/nowhere/socket" })?.("READY=1")).toBe(false);
  expect(takeNotifier({ NOTIFY_SOCKET: "relative" })?.("READY=1")).toBe(false);
  expect(takeNotifier({ NOTIFY_SOCKET: `/${"x".repeat(200)}` })?.("READY=1")).toBe(false);
});

test("takeWatchdogMs() is half of what is allowed, and only for the process that is meant", () => {
  expect(takeWatchdogMs({ WATCHDOG_USEC: "30000000" }, 7)).toBe(15_000);
  expect(takeWatchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7)).toBe(15_000);
  expect(takeWatchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7)).toBeUndefined();
  expect(takeWatchdogMs({ WATCHDOG_USEC: "soon" }, 7)).toBeUndefined();
  expect(takeWatchdogMs({}, 7)).toBeUndefined();
});
