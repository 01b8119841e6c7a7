/** One line of a CRI container log: `time stream tags content`. */

export interface LogLine {
  /** RFC 3339 with nanoseconds, as written by the runtime. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** True when the runtime cut a long line here. */
  readonly partial: boolean;
  readonly content: string;
}

/** Undefined for a line that is not in the format: a torn write at a crash. */
export function parseLogLine(line: string): LogLine | undefined {
  const first = line.indexOf(" ");
  const second = line.indexOf(" ", first + 1);
  const third = line.indexOf(" ", second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const stream = line.slice(first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  return {
    time: line.slice(0, first),
    stream,
    partial: line
      .slice(second + 1, third)
      .split(":")
      .includes("P"),
    content: line.slice(third + 1),
  };
}
