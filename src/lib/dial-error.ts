/** What a connection failed of, in the words of Go's net package, as events and probes tell it. */

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connect: connection refused",
  ConnectionRefused: "connect: connection refused",
  EHOSTUNREACH: "connect: no route to host",
  ENETUNREACH: "connect: network is unreachable",
  ETIMEDOUT: "connect: connection timed out",
  ENOTFOUND: "no such host",
};
const ends: Readonly<Record<string, string>> = {
  ECONNRESET: "read: connection reset by peer",
  ConnectionClosed: "EOF",
};

/** `host` and `port` are what was dialed. */
export function dialErrorText(error: unknown, host: string, port: number | string): string {
  const message = error instanceof Error ? error.message : String(error);
  const code = String((error as { readonly code?: unknown } | null)?.code ?? "");
  // Bun's fetch puts the system's name of a failure before its own sentence.
  const name = code in words || code in ends ? code : (/^[A-Z]+\b/.exec(message)?.[0] ?? "");
  const address = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  if (name in words) return `dial tcp ${address}:${port}: ${words[name]}`;
  return ends[name] ?? message;
}
