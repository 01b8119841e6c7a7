/**
 * The only door to time, randomness, processes, files and sockets. `real.ts` opens it to the
 * machine, `simulated.ts` to a seeded world; everything else takes a `Runtime`.
 */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly exec: Exec;
  readonly files: Files;
  readonly net: Net;
  readonly log: Logger;
}

export interface Clock {
  now(): Date;
  /** Milliseconds that never run backwards; the origin is arbitrary. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts (it never rejects). */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `tick` every `ms` until `signal` aborts. */
  every(ms: number, signal: AbortSignal, tick: () => void): void;
}

export interface Random {
  /** A whole number in 0..below-1. */
  int(below: number): number;
  uuid(): string;
  /** `length` characters of Kubernetes' safe alphabet (bcdfghjklmnpqrstvwxz2456789). */
  suffix(length: number): string;
  bytes(count: number): Uint8Array;
}

export interface Command {
  /** argv[0] is looked up in PATH when it has no slash. */
  readonly argv: readonly [string, ...string[]];
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}
/** A long-lived child, for example containerd. */
export interface ChildProcess {
  readonly pid: number;
  readonly exited: Promise<number>;
  kill(signal: "SIGTERM" | "SIGKILL" | "SIGHUP"): void;
}
export interface Exec {
  /** Runs to the end; a non-zero exit is a result, not an error. Aborting kills the child. */
  run(command: Command, signal: AbortSignal): Promise<CommandResult>;
  /** Starts a child in its own session: it lives on when we die. Output goes to `logFile`. */
  spawn(command: Command & { readonly logFile: string }): ChildProcess;
}

export interface Files {
  read(path: string): Promise<Uint8Array | undefined>;
  readText(path: string): Promise<string | undefined>;
  /** Writes beside, syncs, renames: readers see the old or the new content, never a part. */
  writeAtomic(path: string, data: Uint8Array | string, mode: number): Promise<void>;
  /** For the kernel's files (/proc, /sys), which nothing can be renamed over. */
  writeInPlace(path: string, data: string): Promise<void>;
  /** Removes a file or a tree; absent is fine. */
  remove(path: string): Promise<void>;
  mkdir(path: string, mode: number): Promise<void>;
  /** Names in `dir`, sorted; empty when it does not exist. */
  list(dir: string): Promise<readonly string[]>;
  /** Yields the name of each entry of `dir` that changed. */
  watch(dir: string, signal: AbortSignal): AsyncIterable<string>;
}

export type Address =
  | { readonly type: "tcp"; readonly host: string; readonly port: number }
  | { readonly type: "unix"; readonly path: string };
export interface ByteStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  close(): void;
}
/** PEM texts; `ca` replaces the system's roots. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  readonly rejectUnauthorized?: boolean;
}
export interface FetchOptions {
  readonly tls?: TlsOptions;
  /** Path of a unix socket to connect to in place of the URL's host. */
  readonly unix?: string;
  /** Headers beside the request's own, each on a line of its own; redirects are not followed. */
  readonly headerLines?: readonly (readonly [name: string, value: string])[];
}
export interface UdpFrom {
  readonly host: string;
  readonly port: number;
}
export interface UdpSocket {
  readonly port: number;
  send(data: Uint8Array, to: UdpFrom): void;
  close(): void;
}
export interface Listener {
  /** The bound port; 0 for unix sockets. */
  readonly port: number;
  /** Stops listening and closes the connections that are open. */
  close(): void;
}
export interface Net {
  /** Port 0 takes any. */
  udp(
    host: string,
    port: number,
    onMessage: (data: Uint8Array, from: UdpFrom) => void,
  ): Promise<UdpSocket>;
  listen(address: Address, onConnection: (stream: ByteStream) => void): Promise<Listener>;
  /** Plain HTTP; port 0 takes any. */
  serve(
    host: string,
    port: number,
    handle: (request: Request) => Promise<Response>,
  ): Promise<Listener>;
  fetch(request: Request, options?: FetchOptions): Promise<Response>;
  /** With `tls` the bytes are those inside of the encrypted connection. */
  dial(address: Address, signal: AbortSignal, tls?: TlsOptions): Promise<ByteStream>;
}

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** A logger whose lines carry `component`. */
  named(component: string): Logger;
}
