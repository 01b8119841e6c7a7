/** From the bytes of a body to a JSON value, as Go's JSON and YAML readers take them. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  LineCounter,
  parseAllDocuments,
  type Tags,
  visit,
} from "yaml";
import { ApiError } from "../lib/api-error.ts";
import { setOwn } from "./copy.ts";
import { countMembers, countParsed, duplicateMembers } from "./json-scan.ts";
import { jsonSyntaxError } from "./json-syntax.ts";

export interface Parsed {
  readonly value: unknown;
  /** What strict decoding objects to: duplicate members. */
  readonly problems: readonly string[];
}

const limits = { yamlAliasesMax: 1000, yamlDepthMax: 10_000 } as const;

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
  if (countParsed(value) === members) return { value, problems: [] };
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

function checkYaml(document: Document, lines: LineCounter): readonly string[] {
  const problems: string[] = [];
  let aliases = 0;
  visit(document, (_, node, path) => {
    if (path.length > limits.yamlDepthMax) throw badYaml("document nests too deeply");
    if (isAlias(node) && ++aliases > limits.yamlAliasesMax) {
      throw badYaml("document contains excessive aliasing");
    }
    if (isMap(node)) problems.push(...repeatedKeys(node.items, lines));
  });
  return problems.length === 0
    ? []
    : [`yaml: unmarshal errors:\n${problems.map((problem) => `  ${problem}`).join("\n")}`];
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
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(textOf(bytes), {
    lineCounter,
    version: "1.1",
    schema: "yaml-1.1",
    merge: true,
    uniqueKeys: false,
    customTags: goTags,
    stringKeys: false,
    logLevel: "silent",
  });
  const [document] = documents;
  if (document === undefined) return { value: null, problems: [] };
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 1;
    throw badYaml(`line ${line}: ${error.message.split("\n")[0]}`);
  }
  const problems = checkYaml(document, lineCounter);
  return { value: jsonOnly(plainValue(document)), problems };
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
  if (typeof value === "bigint") return Number(value);
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
