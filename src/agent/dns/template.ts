/** CoreDNS's `template`: answers made from the name that is asked for. */
import type { Answer, Question } from "dns-packet";
import { CorefileError, type Directive } from "./corefile.ts";
import { type NamePattern, namePattern } from "./name-pattern.ts";
import { parseRecord } from "./record-text.ts";
import { rcodes } from "./reply.ts";
import { isWithin, zoneName, zonesPast } from "./zone-name.ts";

export interface TemplateReply {
  readonly rcode: number;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly more: readonly Answer[];
}

export interface Template {
  /** "not-mine" when another template or plugin is to answer. */
  reply(question: Question): TemplateReply | "not-mine";
}

interface Parts {
  readonly zones: readonly string[];
  readonly type: string;
  readonly patterns: readonly NamePattern[];
  readonly records: Readonly<Record<Section, readonly string[]>>;
  readonly rcode: number;
  readonly fallsThrough: (name: string) => boolean;
}

const sections = ["answer", "authority", "additional"] as const;
type Section = (typeof sections)[number];

/** `template CLASS TYPE [ZONE…] { … }`. @throws CorefileError */
export function parseTemplate(directive: Directive, zones: readonly string[]): Template {
  const parts = partsOf(directive, zones);
  return {
    reply: (question) => {
      const name = `${question.name.toLowerCase()}.`;
      const zone = parts.zones.find((one) => isWithin(name.slice(0, -1), one));
      if (zone === undefined) return "not-mine";
      if (parts.type !== "ANY" && parts.type !== question.type) return "not-mine";
      const found = firstMatch(parts.patterns, name);
      if (found === undefined) {
        if (parts.fallsThrough(name.slice(0, -1))) return "not-mine";
        return { rcode: rcodes.SERVFAIL, answers: [], authorities: [], more: [] };
      }
      const values = { Name: name, Zone: `${zone}.`, Type: question.type, Class: "IN" };
      const made = (section: Section): readonly Answer[] =>
        parts.records[section].map((text) => parseRecord(filled(text, found, values)));
      return {
        rcode: parts.rcode,
        answers: made("answer"),
        authorities: made("authority"),
        more: made("additional"),
      };
    },
  };
}

function partsOf(directive: Directive, zones: readonly string[]): Parts {
  const { args, block, line } = directive;
  const [qclass = "", type = "", ...own] = args;
  if (!/^(IN|ANY)$/i.test(qclass) || type === "") {
    throw new CorefileError(`line ${line}: template takes CLASS (IN) TYPE [ZONE…]`);
  }
  const records: Record<Section, string[]> = { answer: [], authority: [], additional: [] };
  const patterns: NamePattern[] = [];
  let rcode: number = rcodes.NOERROR;
  let fallsThrough: Parts["fallsThrough"] = () => false;
  for (const one of block) {
    const section = sections.find((known) => known === one.name);
    if (section !== undefined) {
      const text = one.args.join(" ");
      checkTemplate(text, one);
      records[section].push(text);
    } else if (one.name === "match") {
      patterns.push(...one.args.map((source) => namePattern(source, one)));
    } else if (one.name === "rcode") {
      const names = Object.keys(rcodes) as (keyof typeof rcodes)[];
      const code = names.find((name) => name === one.args[0]?.toUpperCase());
      if (code === undefined) {
        throw new CorefileError(`line ${one.line}: rcode is one of ${names.join(", ")}`);
      }
      rcode = rcodes[code];
    } else if (one.name === "fallthrough") {
      fallsThrough = zonesPast(one.args);
    } else {
      throw new CorefileError(`line ${one.line}: template does not know "${one.name}"`);
    }
  }
  const of = own.length === 0 ? zones : own.map(zoneName);
  return { zones: of, type: type.toUpperCase(), patterns, records, rcode, fallsThrough };
}

/** Without a pattern every name matches. */
function firstMatch(patterns: readonly NamePattern[], name: string): RegExpExecArray | undefined {
  if (patterns.length === 0) return /^.*$/.exec(name) ?? undefined;
  for (const pattern of patterns) {
    const found = pattern.match(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

const action = /\{\{\s*(.*?)\s*\}\}/g;
const ways = {
  field: /^\.(Name|Zone|Type|Class)$/,
  group: /^(?:\.Group\.(\w+)|index \.Group "(\w+)")$/,
  match: /^index \.Match (\d+)$/,
} as const;

function checkTemplate(text: string, { line }: Directive): void {
  for (const [, inside = ""] of text.matchAll(action)) {
    if (Object.values(ways).some((way) => way.test(inside))) continue;
    const accepted = ".Name, .Zone, .Type, .Class, .Group.x, index .Match n";
    throw new CorefileError(`line ${line}: "{{ ${inside} }}" is none of ${accepted}`);
  }
}

function filled(
  text: string,
  found: RegExpExecArray,
  values: Readonly<Record<string, string>>,
): string {
  return text.replace(action, (_whole, inside: string) => {
    const field = ways.field.exec(inside)?.[1];
    if (field !== undefined) return values[field] ?? "";
    const [, byDot, byIndex] = ways.group.exec(inside) ?? [];
    const group = byDot ?? byIndex;
    if (group !== undefined) return found.groups?.[group] ?? found[Number(group)] ?? "";
    return found[Number(ways.match.exec(inside)?.[1])] ?? "";
  });
}
