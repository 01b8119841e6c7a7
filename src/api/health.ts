/** `/healthz`, `/livez` and `/readyz`: one line per check, as kubectl get --raw shows them. */
export interface HealthCheck {
  readonly name: string;
  readonly ok: boolean;
}

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
    return { status: 500, text: "internal server error: reason withheld\n" };
  }
  const lines = checks.map(({ name, ok }) => {
    if (exclude.includes(name)) return `[+]${name} excluded: ok`;
    return ok ? `[+]${name} ok` : `[-]${name} failed: reason withheld`;
  });
  const isOk = checks.every(({ name, ok }) => ok || exclude.includes(name));
  if (!isOk) return { status: 500, text: `${lines.join("\n")}\n${endpoint} check failed\n` };
  if (!verbose) return { status: 200, text: "ok" };
  return { status: 200, text: `${lines.join("\n")}\n${endpoint} check passed\n` };
}
