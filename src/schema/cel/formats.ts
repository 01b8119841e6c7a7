/** Named formats in CEL: `format.dns1123Label().validate(name)` yields the faults, if any. */
import { type Environment, Optional } from "@marcbachmann/cel-js";
import {
  label1035Errors,
  labelErrors,
  labelKeyErrors,
  labelValueErrors,
  subdomainErrors,
} from "../../lib/names.ts";

type Check = (text: string) => readonly string[];

class CelFormat {
  constructor(
    readonly name: string,
    readonly check: Check,
  ) {}
  toString(): string {
    return this.name;
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

const checks: Readonly<Record<string, Check>> = {
  dns1123Label: labelErrors,
  dns1123LabelPrefix: prefixed(labelErrors),
  dns1123Subdomain: subdomainErrors,
  dns1123SubdomainPrefix: prefixed(subdomainErrors),
  dns1035Label: label1035Errors,
  dns1035LabelPrefix: prefixed(label1035Errors),
  qualifiedName: labelKeyErrors,
  labelValue: labelValueErrors,
  uri: (text) => (URL.canParse(text) ? [] : ["invalid URI"]),
  uuid: matching(uuid, "does not match the UUID format"),
  byte: matching(base64, "invalid base64"),
  date: matching(date, "invalid date"),
  datetime: matching(dateTime, "invalid datetime"),
};

export function registerFormats(environment: Environment): void {
  class Formats {}
  environment.registerType("kubernetes.NamedFormat", { ctor: CelFormat, fields: {} });
  environment.registerType("FormatNamespace", Formats);
  environment.registerConstant("format", "FormatNamespace", new Formats());
  const add = environment.registerFunction.bind(environment);
  const formats = new Map<string, CelFormat>();
  for (const [name, check] of Object.entries(checks)) {
    const format = new CelFormat(name, check);
    formats.set(name, format);
    add(`FormatNamespace.${name}(): kubernetes.NamedFormat`, () => format);
  }
  add(
    "FormatNamespace.named(string): optional<kubernetes.NamedFormat>",
    (_formats: Formats, name: string) => {
      const format = formats.get(name);
      return format === undefined ? Optional.none() : Optional.of(format);
    },
  );
  add(
    "kubernetes.NamedFormat.validate(string): optional<list<string>>",
    (format: CelFormat, text: string) => {
      const faults = format.check(text);
      return faults.length === 0 ? Optional.none() : Optional.of([...faults]);
    },
  );
}
