/** Why an address could not be listened on, for whoever started the server. */
import { StartError } from "./start-error.ts";

export function listenError(host: string, port: number, code: string, cause: unknown): Error {
  const place = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  if (code === "EADDRINUSE")
    return new StartError(
      `Cannot listen on ${place}: the port is taken by another process ` +
        `(\`ss -ltnp 'sport = :${port}'\` names it; --https-listen-port chooses another)`,
      { cause },
    );
  if (code === "EACCES")
    return new StartError(`Cannot listen on ${place}: ports below 1024 need more rights`, {
      cause,
    });
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StartError(`Cannot listen on ${place}: ${reason}`, { cause });
}
