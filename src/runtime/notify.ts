/**
 * Tells the service manager how the process fares (sd_notify(3)). Bun has no unix datagram
 * sockets, so the C library is called for them.
 */
import { dlopen, ptr } from "bun:ffi";

/** A word to the service manager; false when nobody listens there. */
export type Notify = (state: string) => boolean;

const unixFamily = 1;
const datagram = 2;
const closeOnExec = 0o2000000;
const dontWait = 0x40;
/** `sun_path` holds 108 bytes. */
const pathBytesMax = 108;

/**
 * The notifier that the environment asks for; undefined when it asks for none. The variables are
 * taken out of `env`: a child must not speak for us.
 */
export function takeNotifier(env: Record<string, string | undefined>): Notify | undefined {
  const path = env.NOTIFY_SOCKET;
  delete env.NOTIFY_SOCKET;
  if (path === undefined || path === "") return undefined;
  const address = socketAddress(path);
  return address === undefined ? () => false : (state) => send(address, state);
}

/** Milliseconds between two signs of life, half of what the service manager allows. */
export function takeWatchdogMs(
  env: Record<string, string | undefined>,
  pid: number,
): number | undefined {
  const { WATCHDOG_USEC: allowed, WATCHDOG_PID: meant } = env;
  delete env.WATCHDOG_USEC;
  delete env.WATCHDOG_PID;
  if (allowed === undefined || !/^[1-9]\d*$/.test(allowed)) return undefined;
  if (meant !== undefined && meant !== "" && Number(meant) !== pid) return undefined;
  return Math.max(1, Math.floor(Number(allowed) / 2000));
}

/** `struct sockaddr_un`: a path, or with @ a name in the abstract space. */
export function socketAddress(path: string): Uint8Array | undefined {
  const isAbstract = path.startsWith("@");
  if (!isAbstract && !path.startsWith("/")) return undefined;
  const name = new TextEncoder().encode(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > pathBytesMax) return undefined;
  const address = new Uint8Array(2 + name.length);
  new DataView(address.buffer).setUint16(0, unixFamily, true);
  address.set(name, 2);
  return address;
}

const openLibrary = () =>
  dlopen("libc.so.6", {
    socket: { args: ["int", "int", "int"], returns: "int" },
    sendto: { args: ["int", "ptr", "u64", "int", "ptr", "u32"], returns: "i64" },
    close: { args: ["int"], returns: "int" },
  }).symbols;
let library: ReturnType<typeof openLibrary> | undefined;

function send(address: Uint8Array, state: string): boolean {
  library ??= openLibrary();
  const socket = library.socket(unixFamily, datagram | closeOnExec, 0);
  if (socket < 0) return false;
  try {
    const text = new TextEncoder().encode(state);
    const [data, to] = [ptr(text), ptr(address)];
    // Never waits: a service manager that does not read must not hold up the event loop.
    return Number(library.sendto(socket, data, text.length, dontWait, to, address.length)) >= 0;
  } finally {
    library.close(socket);
  }
}
