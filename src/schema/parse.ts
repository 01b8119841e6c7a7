/** From the bytes of a body to a JSON value, as Go's JSON and YAML readers take them. */
import {
  Composer,
  type Document,
  isCollection,
  isMap,
  isNode,
  isPair,
  Lexer,
  LineCounter,
  Parser,
  type Tags,
} from "yaml";
import { ApiError } from "../lib/api-error.ts";
import { parseExact, wholeNumber } from "../lib/exact-json.ts";
import { setOwn } from "./copy.ts";
import { countMembers, countParsed, duplicateMembers } from "./json-scan.ts";
import { jsonSyntaxError } from "./json-syntax.ts";

export interface Parsed {
  readonly value: unknown;
  /** What strict decoding objects to: duplicate members. */
  readonly problems: readonly string[];
}

const limits = { yamlAliasesMax: 1000, yamlDepthMax: 10_000, harmlessCharacters: 8192 } as const;

/** How a body that is no JSON is told of. */
export const jsonParseError = "couldn't get version/kind; json parse error: ";

const jsonTypes = new Set(["application/json", ""]);
const yamlTypes = new Set(["application/yaml"]);

function mediaType(contentType: string): string {
  return (contentType.split(";")[0] ?? "").trim().toLowerCase();
}

/** Go replaces invalid UTF-8 in JSON strings; bytes that cannot be text at all are refused. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);
}

function parseJson(bytes: Uint8Array): Parsed {
  const members = countMembers(bytes);
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes));
  } catch (error) {
    const why = jsonSyntaxError(textOf(bytes)) ?? String(error);
    throw new ApiError("BadRequest", `${jsonParseError}${why}`, { cause: error });
  }
  const counted = countParsed(value);
  if (counted.isRounded) value = parseExact(textOf(bytes));
  if (counted.members === members) return { value, problems: [] };
  const paths = duplicateMembers(bytes);
  return { value, problems: [...new Set(paths)].map((path) => `duplicate field "${path}"`) };
}

/** Go's YAML reader knows no timestamps, base 60 numbers, sets or ordered maps. */
function goTags(tags: Tags): Tags {
  const dropped = /timestamp|:(set|omap|pairs)$/;
  return tags.filter(
    (tag) => typeof tag === "string" || (!dropped.test(tag.tag) && tag.format !== "TIME"),
  );
}

/** Looks at every node, without a call for each level: documents may nest deeply. */
function checkYaml(document: Document, lines: LineCounter): readonly string[] {
  const problems: string[] = [];
  const open: { readonly node: unknown; readonly depth: number }[] = [
    { node: document.contents, depth: 0 },
  ];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { node, depth } = next;
    if (depth > limits.yamlDepthMax) throw badYaml(tooDeep);
    if (isMap(node)) problems.push(...repeatedKeys(node.items, lines));
    const inner = isPair(node) ? [node.value, node.key] : isCollection(node) ? node.items : [];
    for (let i = inner.length - 1; i >= 0; i--) {
      // A pair is no level of its own.
      open.push({ node: inner[i], depth: isPair(node) ? depth : depth + 1 });
    }
  }
  return problems.length === 0
    ? []
    : [`yaml: unmarshal errors:\n${problems.map((problem) => `  ${problem}`).join("\n")}`];
}

const tooDeep = `exceeded max depth of ${limits.yamlDepthMax}`;

/** Stops at what would take long to read, before it is read: small bodies cannot hold it. */
function refuseBombs(text: string): void {
  if (text.length < limits.harmlessCharacters) return;
  const counted = { brackets: 0, onLine: 0, aliases: 0, documents: 0 };
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") counted.brackets += 1;
    else if (token === "]" || token === "}") counted.brackets -= 1;
    else if (token === "-" || token === "?") counted.onLine += 1;
    else if (token === "\n") counted.onLine = 0;
    else if (token.startsWith("*")) counted.aliases += 1;
    else if (token === "---" || token === "...") counted.documents += 1;
    const { brackets, onLine, aliases, documents } = counted;
    // Only the first document is read.
    if (documents > 1) return;
    if (Math.max(brackets, onLine) > limits.yamlDepthMax) throw badYaml(tooDeep);
    if (aliases > limits.yamlAliasesMax) throw badYaml("document contains excessive aliasing");
  }
}

function repeatedKeys(items: readonly unknown[], lines: LineCounter): string[] {
  const seen = new Set<string>();
  const problems: string[] = [];
  for (const item of items) {
    if (!isPair(item)) continue;
    const key = String(item.key);
    if (seen.has(key) && key !== "<<") {
      const place = isNode(item.key) ? (item.key.range?.[0] ?? 0) : 0;
      const { line } = lines.linePos(place);
      problems.push(`line ${line}: key ${JSON.stringify(key)} already set in map`);
    }
    seen.add(key);
  }
  return problems;
}

function badYaml(message: string): ApiError {
  return new ApiError("BadRequest", `error converting YAML to JSON: yaml: ${message}`);
}

/** The JSON value of the first document, read by the rules of YAML 1.1 as Go's reader does. */
function parseYaml(bytes: Uint8Array): Parsed {
  const text = textOf(bytes);
  const asJson = plainJson(bytes, text);
  if (asJson !== undefined) return asJson;
  refuseBombs(text);
  const lineCounter = new LineCounter();
  const document = firstDocument(text, lineCounter);
  if (document === undefined) return { value: null, problems: [] };
  const problems = checkYaml(document, lineCounter);
  return { value: jsonOnly(plainValue(document)), problems };
}

/** JSON is YAML that can be read much faster; undefined when it is no JSON, or odd. */
function plainJson(bytes: Uint8Array, text: string): Parsed | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const parsed = parseJson(bytes);
    return parsed.problems.length === 0 ? parsed : undefined;
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** Where the reader found an error. */
type ErrorPlace = number | readonly [number, number] | { readonly offset: number };

function firstDocument(text: string, lineCounter: LineCounter): Document | undefined {
  const composer = new Composer({
    version: "1.1",
    schema: "yaml-1.1",
    merge: true,
    uniqueKeys: false,
    customTags: goTags,
    stringKeys: false,
    intAsBigInt: true,
    logLevel: "silent",
  });
  const parser = new Parser(lineCounter.addNewLine);
  let first: { readonly at: ErrorPlace; readonly message: string } | undefined;
  // The first error is enough: there may be one for each of a million characters.
  const onError = (at: ErrorPlace, _code: string, message: string, isWarning = false): void => {
    if (!isWarning) first ??= { at, message };
  };
  Object.assign(composer, { onError });
  try {
    // What follows the first document is not even looked at.
    for (const document of composer.compose(parser.parse(text))) {
      if (first === undefined) return document;
      const { at, message } = first;
      const place = typeof at === "number" ? at : "offset" in at ? at.offset : at[0];
      throw badYaml(`line ${lineCounter.linePos(place).line}: ${message.split("\n")[0]}`);
    }
  } catch (error) {
    // The reader calls itself for each level.
    if (error instanceof RangeError) throw badYaml(tooDeep);
    throw error;
  }
  return undefined;
}

function plainValue(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: limits.yamlAliasesMax });
  } catch (error) {
    const excessive = error instanceof Error && /alias count/i.test(error.message);
    throw badYaml(excessive ? "document contains excessive aliasing" : String(error));
  }
}

/** Binary scalars become base64; every other value that JSON lacks becomes its text. */
function jsonOnly(value: unknown): unknown {
  if (typeof value === "bigint") return wholeNumber(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(jsonOnly);
  const result: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) setOwn(result, key, jsonOnly(inner));
  return result;
}

/** Reads a JSON or YAML body; UnsupportedMediaType for others. Throws ApiError BadRequest. */
export function parseBody(bytes: Uint8Array, contentType: string): Parsed {
  const type = mediaType(contentType);
  if (jsonTypes.has(type)) return parseJson(bytes);
  if (yamlTypes.has(type)) return parseYaml(bytes);
  throw new ApiError(
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ` +
      `application/json, application/yaml, application/vnd.kubernetes.protobuf`,
  );
}
