/** What every command gets, and the table row that leads to it. */
export interface CommandContext {
  /** What follows the name of the command. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
}

/** Resolves to the exit code. */
export type RunCommand = (context: CommandContext) => Promise<number>;

export interface CommandRow {
  readonly name: string;
  readonly help: string;
  /** Loaded when the command is run, and not before. */
  readonly load: () => Promise<RunCommand>;
  /** Second words, for completion. */
  readonly subcommands?: readonly string[];
}
