/** A child that takes our place at the terminal. */

const relayed = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGWINCH"] as const;

/** Runs `argv` on our own standard streams; resolves to its exit code, as a shell tells it. */
export async function runForeground(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string | undefined>>,
  stdin: "inherit" | "ignore" = "inherit",
): Promise<number> {
  const child = Bun.spawn([...argv], {
    stdin,
    stdout: "inherit",
    stderr: "inherit",
    env: { ...env },
  });
  const handlers = relayed.map((signal) => {
    // A terminal sends its signals to the whole group: passing those on would double them.
    const fromTerminal = signal !== "SIGTERM" && signal !== "SIGHUP" && process.stdin.isTTY;
    const handler = (): void => {
      if (!fromTerminal) child.kill(signal);
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  try {
    return await child.exited;
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}
