/** Taints as the command line writes them: `key=value:Effect` or `key:Effect`. */
import type { Taint } from "../../gen/core-v1.ts";

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

export function parseTaint(text: string): Taint {
  const colon = text.lastIndexOf(":");
  const [key = "", value] = text.slice(0, Math.max(colon, 0)).split("=", 2);
  const effect = text.slice(colon + 1);
  if (key === "" || !effects.includes(effect)) {
    throw new RangeError(
      `Cannot use ${JSON.stringify(text)} as a taint: it must be key=value:Effect ` +
        `with an effect of ${effects.join(", ")}`,
    );
  }
  return { key, effect, ...(value === undefined ? {} : { value }) };
}
