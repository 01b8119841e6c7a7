/** Reads CoreDNS's configuration language: server blocks of directives, with their own blocks. */

export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  /** What stands between its braces. */
  readonly block: readonly Directive[];
  readonly line: number;
}

export interface ServerBlock {
  /** As written: `example.org`, `example.org:53`, `dns://.:53`, `10.0.0.0/24`. */
  readonly keys: readonly string[];
  readonly directives: readonly Directive[];
}

/** Its message names the line. */
export class CorefileError extends Error {}

interface Token {
  readonly text: string;
  readonly line: number;
  /** Braces in quotes are text. */
  readonly quoted: boolean;
}

type Snippets = ReadonlyMap<string, readonly Directive[]>;

/** A file of server blocks; snippets, `(name) { … }`, are put in where they are imported. */
export function parseCorefile(text: string): readonly ServerBlock[] {
  const snippets = new Map<string, readonly Directive[]>();
  const blocks: ServerBlock[] = [];
  for (const { name, args, block, line } of parseLines(text)) {
    const keys = [name, ...args].flatMap((key) => key.split(",")).filter((key) => key !== "");
    const snippet = /^\((.+)\)$/.exec(name)?.[1];
    if (snippet === undefined) blocks.push({ keys, directives: imported(block, snippets) });
    else if (args.length > 0) throw new CorefileError(`line ${line}: a snippet has one name`);
    else snippets.set(snippet, imported(block, snippets));
  }
  return blocks;
}

/** What stands inside of a server block. */
export function parseDirectives(text: string): readonly Directive[] {
  return imported(parseLines(text), new Map());
}

function imported(directives: readonly Directive[], snippets: Snippets): readonly Directive[] {
  return directives.flatMap((directive) => {
    if (directive.name !== "import") return [directive];
    const [name = ""] = directive.args;
    const snippet = snippets.get(name);
    if (snippet !== undefined) return snippet;
    throw new CorefileError(`line ${directive.line}: there is no snippet ${JSON.stringify(name)}`);
  });
}

function parseLines(text: string): readonly Directive[] {
  const tokens = tokensOf(text);
  const [directives, end] = directivesFrom(tokens, 0);
  const left = tokens[end];
  if (left !== undefined) throw new CorefileError(`line ${left.line}: unexpected "}"`);
  return directives;
}

/** Reads until a closing brace or the end; tells where that is. */
function directivesFrom(tokens: readonly Token[], start: number): [readonly Directive[], number] {
  const directives: Directive[] = [];
  let at = start;
  for (let first = tokens[at]; first !== undefined && !isBrace(first, "}"); first = tokens[at]) {
    const { text: name, line } = first;
    if (isBrace(first, "{")) throw new CorefileError(`line ${line}: "{" without a name before it`);
    const args: string[] = [];
    let block: readonly Directive[] = [];
    let lastLine = line;
    at += 1;
    for (let next = tokens[at]; next !== undefined && next.line === lastLine; next = tokens[at]) {
      if (isBrace(next, "}")) break;
      at += 1;
      if (!isBrace(next, "{")) {
        args.push(next.text);
        continue;
      }
      [block, at] = directivesFrom(tokens, at);
      const closing = tokens[at];
      if (closing === undefined) throw new CorefileError(`line ${next.line}: "{" is never closed`);
      lastLine = -1;
      at += 1;
    }
    directives.push({ name, args, block, line });
  }
  return [directives, at];
}

function isBrace(token: Token, brace: "{" | "}"): boolean {
  return !token.quoted && token.text === brace;
}

/** Words, quoted texts and braces; `#` begins a comment where a word could begin. */
function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  const pattern = /\n|#[^\n]*|"((?:\\"|[^"])*)("?)|[^\s"#][^\s]*/g;
  for (const match of text.matchAll(pattern)) {
    const [found, quoted, closing] = match;
    if (found === "\n") line += 1;
    else if (quoted !== undefined) {
      if (closing === "") throw new CorefileError(`line ${line}: a quote is never closed`);
      tokens.push({ text: quoted.replaceAll('\\"', '"'), line, quoted: true });
      line += quoted.split("\n").length - 1;
    } else if (!found.startsWith("#")) tokens.push({ text: found, line, quoted: false });
  }
  return tokens;
}
