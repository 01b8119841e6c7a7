/**
 * Rewrites message literals, which the library does not parse, as map literals:
 * `Object.spec{replicas: 3}` becomes `{"replicas": 3}`. Only the type names that mutating
 * policies know are taken for messages: `Object` and what is below it, and `JSONPatch`.
 */

const name = /^[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*[A-Za-z_][A-Za-z0-9_]*)*/;
const messageName = /^(Object(\s*\.\s*\w+)*|JSONPatch)$/;
const unescapes: Readonly<Record<string, string>> = {
  __underscores__: "__",
  __dot__: ".",
  __dash__: "-",
  __slash__: "/",
};

type Bracket = "message" | "other";

export function rewriteMessages(expression: string): string {
  const brackets: Bracket[] = [];
  let result = "";
  let rest = expression;
  // True where the next name of a message literal is that of a field.
  let atField = false;
  const take = (length: number): string => {
    const taken = rest.slice(0, length);
    rest = rest.slice(length);
    return taken;
  };
  while (rest !== "") {
    const skipped = /^(\s+|\/\/[^\n]*)/.exec(rest) ?? literal(rest);
    if (skipped !== null) {
      result += take(skipped[0].length);
      continue;
    }
    const word = name.exec(rest)?.[0];
    if (word !== undefined) {
      const follows = rest.slice(word.length).trimStart();
      if (follows.startsWith("{") && messageName.test(word) && !/\.\s*$/.test(result)) {
        take(word.length);
        take(rest.length - follows.length + 1);
        result += "{";
        brackets.push("message");
        atField = true;
        continue;
      }
      const isField = atField && follows.startsWith(":");
      take(word.length);
      result += isField ? JSON.stringify(fieldName(word)) : word;
      atField = false;
      continue;
    }
    const sign = take(1);
    result += sign;
    if ("{[(".includes(sign)) brackets.push("other");
    else if ("}])".includes(sign)) brackets.pop();
    if (sign === ",") atField = brackets.at(-1) === "message";
    else if (sign !== "?") atField = false;
  }
  return result;
}

const rawLiteral = /^[bB]?[rR](?:""".*?"""|'''.*?'''|"[^"\n]*"|'[^'\n]*')/s;
const longLiteral = /^[bB]?(?:"""(?:\\.|[^\\])*?"""|'''(?:\\.|[^\\])*?''')/s;
const shortLiteral = /^[bB]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')/;

/** A string or bytes literal at the start of the text, raw and triple quoted ones too. */
function literal(text: string): RegExpExecArray | null {
  return rawLiteral.exec(text) ?? longLiteral.exec(text) ?? shortLiteral.exec(text);
}

function fieldName(word: string): string {
  const reserved = /^__([a-z]+)__$/.exec(word);
  if (reserved !== null && unescapes[word] === undefined) return reserved[1] ?? word;
  return word.replace(/__(?:underscores|dot|dash|slash)__/g, (part) => unescapes[part] ?? part);
}
