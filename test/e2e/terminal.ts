/** A command on a terminal of its own, driven as a person would: read, type, resize. */

const limits = { untilMs: 30_000, askAgainMs: 200 } as const;

export class Terminal {
  #seen = "";
  readonly #child: Bun.Subprocess;

  /** 80 columns, 24 rows. */
  constructor(command: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const decoder = new TextDecoder();
    this.#child = Bun.spawn([...command], {
      env: { ...process.env, ...env },
      terminal: {
        cols: 80,
        rows: 24,
        data: (_terminal, bytes) => {
          this.#seen += decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  /** All that was printed. */
  get seen(): string {
    return this.#seen;
  }

  write(text: string): void {
    this.#child.terminal?.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#child.terminal?.resize(columns, rows);
  }

  /** Waits until `pattern` has been printed; `ask` is done again and again meanwhile. */
  async until(pattern: RegExp, ask?: () => void): Promise<RegExpExecArray> {
    const end = Date.now() + limits.untilMs;
    let askedAt = 0;
    for (;;) {
      const found = pattern.exec(this.#seen);
      if (found !== null) return found;
      if (Date.now() > end) throw new Error(`${pattern} was not printed: ${this.#seen}`);
      if (ask !== undefined && Date.now() - askedAt > limits.askAgainMs) {
        askedAt = Date.now();
        ask();
      }
      await Bun.sleep(20);
    }
  }

  kill(): void {
    this.#child.kill("SIGINT");
  }

  /** The exit code. */
  ended(): Promise<number> {
    return this.#child.exited;
  }
}
