/** Named formats: `format.dns1123Label().validate(name)` yields the faults, if any. */
import {
  label1035Errors,
  labelErrors,
  labelKeyErrors,
  labelValueErrors,
  subdomainErrors,
} from "../../../lib/names.ts";
import type { Functions } from "../check/functions.ts";
import { nameType, struct } from "../check/types.ts";
import { CelOpaque } from "../run/values.ts";
import { CelOptional } from "../scalars.ts";

type Check = (text: string) => readonly string[];

const type = nameType(struct("kubernetes.NamedFormat")).name;

class CelFormat extends CelOpaque {
  override readonly typeName = type;
  constructor(
    readonly name: string,
    readonly check: Check,
    /** The length of upstream's regular expression: costs go by it. */
    readonly regexSize: number,
  ) {
    super();
  }
  override equals(other: CelOpaque): boolean {
    return other instanceof CelFormat && other.name === this.name;
  }
}

function matching(pattern: RegExp, message: string): Check {
  return (text) => (pattern.test(text) ? [] : [message]);
}

/** Names that may be completed: a generated suffix follows, so a dash may be the last. */
function prefixed(check: Check): Check {
  return (text) => check(text.endsWith("-") ? `${text.slice(0, -1)}a` : text);
}

const uuid = /^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const date = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
const dateTime = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

const checks: Readonly<Record<string, readonly [check: Check, regexSize: number]>> = {
  dns1123Label: [labelErrors, 30],
  dns1123LabelPrefix: [prefixed(labelErrors), 30],
  dns1123Subdomain: [subdomainErrors, 60],
  dns1123SubdomainPrefix: [prefixed(subdomainErrors), 60],
  dns1035Label: [label1035Errors, 30],
  dns1035LabelPrefix: [prefixed(label1035Errors), 30],
  qualifiedName: [labelKeyErrors, 60],
  labelValue: [labelValueErrors, 40],
  uri: [(text) => (URL.canParse(text) ? [] : ["invalid URI"]), 1104],
  uuid: [matching(uuid, "does not match the UUID format"), 72],
  byte: [matching(base64, "invalid base64"), 84],
  date: [matching(date, "invalid date"), 72],
  datetime: [matching(dateTime, "invalid datetime"), 72],
};

export function registerFormats(functions: Functions): void {
  const formats = new Map<string, CelFormat>();
  for (const [name, [check, regexSize]] of Object.entries(checks)) {
    const format = new CelFormat(name, check, regexSize);
    formats.set(name, format);
    functions.add(`format.${name}(): ${type}`, () => format);
  }
  functions
    .add(`format.named(string): optional<${type}>`, (name: string) => {
      const format = formats.get(name);
      return format === undefined ? CelOptional.none : CelOptional.of(format);
    })
    .add(`${type}->validate(string): optional<list<string>>`, (format: CelFormat, text: string) => {
      const faults = format.check(text);
      return faults.length === 0 ? CelOptional.none : CelOptional.of([...faults]);
    });
}
