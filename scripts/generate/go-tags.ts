/** Reads from Go sources what the `.proto` files lack: JSON names, embedding, patch tags, enums. */

export interface GoField {
  readonly jsonName: string;
  readonly inline: boolean;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly pointer: boolean;
  readonly number: number;
  /** The Go type without pointer, slice and package: `Protocol` of `[]*v1.Protocol`. */
  readonly baseType: string;
  /** The Go type without pointer, as Go itself calls it: `[]v1.Protocol` of `[]*v1.Protocol`. */
  readonly goType: string;
  /** The package's name in the file that declares the field; "" for the file's own. */
  readonly typePackage: string;
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;
}

export interface EnumValue {
  readonly value: string;
  /** What the constant's comment says of it, without the constant's name. */
  readonly text: string;
}

export interface GoPackage {
  /** Fields of every struct by protobuf number. */
  readonly structs: ReadonlyMap<string, ReadonlyMap<number, GoField>>;
  /** Structs that embed TypeMeta. */
  readonly withTypeMeta: ReadonlySet<string>;
  /** Values of every string type marked `+enum`, sorted. */
  readonly enums: ReadonlyMap<string, readonly EnumValue[]>;
  /** Those of `core/v1`, which other packages use. */
  readonly coreEnums: ReadonlyMap<string, readonly EnumValue[]>;
  /** String constants by name. */
  readonly constants: ReadonlyMap<string, string>;
}

function tagValue(tags: string, key: string): string | undefined {
  return new RegExp(`(?:^|\\s)${key}:"([^"]*)"`).exec(tags)?.[1];
}

/** How one source calls types: by the names under which it imports their packages. */
function typeNamer(text: string): (declared: string) => string {
  const own = /^package (\w+)/m.exec(text)?.[1] ?? "";
  const imports = [...text.matchAll(/^\s*(?:import )?(?:(\w+) )?"([\w./-]+)"$/gm)];
  const packages = new Map(
    imports.map(([, alias, path = ""]) => {
      const last = path.split("/").at(-1) ?? "";
      return [alias ?? last, last] as const;
    }),
  );
  return (declared) =>
    declared
      .replaceAll("*", "")
      .replace(/(\w+)\.(?=\w)/g, (_, name: string) => `${packages.get(name) ?? name}.`)
      .replace(/(?<![.\w])[A-Z]\w*/g, (name) => `${own}.${name}`);
}

function parseTag(
  declaration: string,
  tags: string,
  nameOf: (declared: string) => string,
): GoField | undefined {
  const json = tagValue(tags, "json");
  const protobuf = tagValue(tags, "protobuf");
  if (json === undefined || protobuf === undefined) return undefined;
  const [jsonName = "", ...options] = json.split(",");
  const words = declaration.trim().split(/\s+/);
  const goType = words.slice(words.length > 1 ? 1 : 0).join(" ");
  const patchStrategy = tagValue(tags, "patchStrategy");
  const patchMergeKey = tagValue(tags, "patchMergeKey");
  return {
    jsonName,
    inline: options.includes("inline") || (jsonName === "" && words.length === 1),
    omitEmpty: options.includes("omitempty"),
    omitZero: options.includes("omitzero"),
    pointer: goType.startsWith("*"),
    number: Number(protobuf.split(",")[1]),
    baseType: goType.replace(/^.*[*\].]/, ""),
    goType: nameOf(goType),
    typePackage: /(\w+)\.\w+$/.exec(goType)?.[1] ?? "",
    ...(patchStrategy === undefined ? {} : { patchStrategy }),
    ...(patchMergeKey === undefined ? {} : { patchMergeKey }),
  };
}

function parseEnums(text: string, enums: Map<string, EnumValue[]>): void {
  const marked = /(?:^\/\/.*\n)*^\/\/ \+enum\s*\n(?:^\/\/.*\n)*^type (\w+) string/gm;
  for (const match of text.matchAll(marked)) enums.set(match[1] as string, []);
}

/** `Name Type = "value"`, `Name = Type("value")`, `Name = Type(v1.Other)` and `Name = "value"`. */
const constant =
  /^\s*(?:const\s+)?(\w+)(?:\s+(\w+))?\s*=\s*(?:(\w+)\()?(?:"([^"\n]*)"|v1\.(\w+)\))/;

function parseConstants(
  text: string,
  enums: ReadonlyMap<string, EnumValue[]>,
  constants: Map<string, string>,
  core: GoPackage | undefined,
): void {
  let comment: string[] = [];
  for (const line of text.split("\n")) {
    const said = /^\s*\/\/ ?(.*)$/.exec(line);
    if (said) {
      comment.push(said[1] as string);
      continue;
    }
    const [, name = "", declared, converted, literal, other = ""] = constant.exec(line) ?? [];
    const value = literal ?? core?.constants.get(other);
    if (value !== undefined) {
      constants.set(name, value);
      const text = comment
        .join(" ")
        .trim()
        .replace(new RegExp(`^${name}`), "");
      const words = text.trim().replace(/\s+/g, " ");
      enums.get(declared ?? converted ?? "")?.push({ value, text: words });
    }
    comment = [];
  }
}

/** Parses the sources of one Go package; `core` is `core/v1`, once that was parsed. */
export function parseGo(sources: readonly string[], core?: GoPackage): GoPackage {
  const structs = new Map<string, Map<number, GoField>>();
  const withTypeMeta = new Set<string>();
  const enums = new Map<string, EnumValue[]>();
  const constants = new Map<string, string>();
  for (const text of sources) {
    parseEnums(text, enums);
    const nameOf = typeNamer(text);
    for (const match of text.matchAll(/^type (\w+) struct \{\n([\s\S]*?)^\}/gm)) {
      const fields = new Map<number, GoField>();
      for (const line of (match[2] as string).split("\n")) {
        const tagged = /^\s*([^/`\s][^`]*)`([^`]*)`/.exec(line);
        if (/^\s*(\w+\.)?TypeMeta\s/.test(line)) withTypeMeta.add(match[1] as string);
        const field = tagged && parseTag(tagged[1] as string, tagged[2] as string, nameOf);
        if (field) fields.set(field.number, field);
      }
      structs.set(match[1] as string, fields);
    }
  }
  for (const text of sources) parseConstants(text, enums, constants, core);
  for (const values of enums.values()) values.sort((a, b) => (a.value < b.value ? -1 : 1));
  return { structs, withTypeMeta, enums, coreEnums: core?.enums ?? enums, constants };
}
