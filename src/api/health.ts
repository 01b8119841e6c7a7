/** `/healthz`, `/livez` and `/readyz`: one line per check, as kubectl get --raw shows them. */
export type HealthCheck = { readonly name: string } & (
  | { readonly ok: true }
  /** The reason is shown to who asks for this very check, as upstream has it. */
  | { readonly ok: false; readonly reason: string }
);

export interface HealthAnswer {
  readonly status: number;
  readonly text: string;
}

/** `single` is the check named in the path; undefined answers when it does not exist. */
export function healthAnswer(
  endpoint: string,
  checks: readonly HealthCheck[],
  options: {
    readonly single: string;
    readonly verbose: boolean;
    readonly exclude: readonly string[];
  },
): HealthAnswer | undefined {
  const { single, verbose, exclude } = options;
  if (single !== "") {
    const check = checks.find(({ name }) => name === single);
    if (check === undefined) return undefined;
    if (check.ok) return { status: 200, text: "ok" };
    return { status: 500, text: `internal server error: ${check.reason}\n` };
  }
  const lines = checks.map(({ name, ok }) => {
    if (exclude.includes(name)) return `[+]${name} excluded: ok`;
    return ok ? `[+]${name} ok` : `[-]${name} failed: reason withheld`;
  });
  const strangers = exclude.filter((name) => !checks.some((check) => check.name === name)).sort();
  if (strangers.length > 0) {
    const quoted = strangers.map((name) => JSON.stringify(name)).join(",");
    lines.push(`warn: some health checks cannot be excluded: no matches for ${quoted}`);
  }
  const isOk = checks.every(({ name, ok }) => ok || exclude.includes(name));
  if (!isOk) return { status: 500, text: `${lines.join("\n")}\n${endpoint} check failed\n` };
  if (!verbose) return { status: 200, text: "ok" };
  return { status: 200, text: `${lines.join("\n")}\n${endpoint} check passed\n` };
}
