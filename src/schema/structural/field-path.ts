/** `fieldPath` of rules: `.spec.names['a.b']`, below the schema of the rule. */
import type { Structural } from "./schema.ts";

const step = /(?:\.([^.[\]]+)|\['((?:[^'\\]|\\.)*)'\])/y;
const escapes: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "'": "'",
  "\\": "\\",
};

/** As errors write it: `spec.names[a.b]`; undefined when it leads to no field of the schema. */
export function normalizedFieldPath(path: string, schema: Structural): string | undefined {
  let current: Structural | undefined = schema;
  let result = "";
  for (let at = 0; at < path.length; at = step.lastIndex) {
    step.lastIndex = at;
    const [whole, plain, quoted] = step.exec(path) ?? [];
    const name = plain ?? unescaped(quoted ?? "");
    if (whole === undefined || name === undefined || current === undefined) return undefined;
    const { properties, additionalProperties }: Structural = current;
    if (properties !== undefined && Object.keys(properties).length > 0) {
      current = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (current === undefined) return undefined;
      result += result === "" ? name : `.${name}`;
    } else if (typeof additionalProperties === "object") {
      current = additionalProperties;
      result += `[${name}]`;
    } else return undefined;
  }
  return result;
}

function unescaped(text: string): string | undefined {
  let isWrong = false;
  const result = text.replace(/\\(.)/g, (_whole, letter: string) => {
    const known = escapes[letter];
    isWrong ||= known === undefined;
    return known ?? "";
  });
  return isWrong ? undefined : result;
}
