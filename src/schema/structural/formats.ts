/** The string formats that Kubernetes checks; all others are ignored. */
import ipaddr from "ipaddr.js";
import { subdomainErrors } from "../../lib/names.ts";

const dateTime =
  /^(\d{4})-(\d\d)-(\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const date = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
const goUnits = "ns|us|µs|μs|ms|s|m|h";
const goPart = `(\\d+(\\.\\d*)?|\\.\\d+)(${goUnits})`;
const goDuration = new RegExp(`^[+-]?(0|(${goPart})+)$`);
const scalaUnits =
  "ns|nanos?|nanoseconds?|us|µs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|" +
  "m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?";
const scalaDuration = new RegExp(`^\\d+(\\.\\d+)?\\s*(${scalaUnits})$`, "i");
const cards = [
  "4\\d{12}(?:\\d{3})?",
  "5[1-5]\\d{14}",
  "6(?:011|5\\d\\d)\\d{12}",
  "3[47]\\d{13}",
  "3(?:0[0-5]|[68]\\d)\\d{11}",
  "(?:2131|1800|35\\d{3})\\d{11}",
];
const card = new RegExp(`^(?:${cards.join("|")})$`);

const checks: Readonly<Record<string, (text: string) => boolean>> = {
  bsonobjectid: (text) => /^[0-9a-fA-F]{24}$/.test(text),
  uri: isUri,
  email: (text) => /^[^\s@<>]+@[^\s@<>]+$/.test(text),
  hostname: isHostname,
  ipv4: (text) => ipaddr.IPv4.isValidFourPartDecimal(text),
  ipv6: (text) => text.includes(":") && ipaddr.IPv6.isValid(text),
  cidr: isCidr,
  mac: (text) => /^([0-9a-f]{2}[:-]){5}([0-9a-f]{2})$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i.test(text),
  uuid: uuid("[0-9a-f]", "[0-9a-f]"),
  uuid3: uuid("3", "[0-9a-f]"),
  uuid4: uuid("4", "[89ab]"),
  uuid5: uuid("5", "[89ab]"),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: (text) => card.test(text.replace(/\D/g, "")),
  ssn: (text) => /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  hexcolor: (text) => /^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/.test(text),
  rgbcolor: isRgb,
  byte: (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  password: () => true,
  date: (text) => date.test(text) && !Number.isNaN(Date.parse(text)),
  duration: (text) => goDuration.test(text) || scalaDuration.test(text),
  datetime: (text) => dateTime.test(text) && !Number.isNaN(Date.parse(text.slice(0, 10))),
  k8sshortname: (text) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text),
  k8slongname: (text) => subdomainErrors(text).length === 0,
};

function uuid(version: string, variant: string): (text: string) => boolean {
  const hex = "[0-9a-f]";
  const pattern = `^${hex}{8}-?${hex}{4}-?${version}${hex}{3}-?${variant}${hex}{3}-?${hex}{12}$`;
  const compiled = new RegExp(pattern, "i");
  return (text) => compiled.test(text);
}

function isUri(text: string): boolean {
  if (text.startsWith("/")) return !/[\s\p{Cc}]/u.test(text);
  return /^[A-Za-z][A-Za-z0-9+.-]*:/.test(text) && URL.canParse(text);
}

function isHostname(text: string): boolean {
  if (text.length > 255) return false;
  const label = /^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$/;
  return text
    .replace(/\.$/, "")
    .split(".")
    .every((part) => label.test(part));
}

function isCidr(text: string): boolean {
  const [address = "", ...bits] = text.split("/");
  if (bits.length !== 1 || !/^\d{1,3}$/.test(bits[0] ?? "")) return false;
  const isV4 = ipaddr.IPv4.isValidFourPartDecimal(address);
  if (!isV4 && !(address.includes(":") && ipaddr.IPv6.isValid(address))) return false;
  return Number(bits[0]) <= (isV4 ? 32 : 128);
}

function isIsbn10(text: string): boolean {
  const digits = text.replace(/[\s-]/g, "");
  if (!/^\d{9}[\dX]$/.test(digits)) return false;
  const sum = [...digits].reduce((total, digit, index) => {
    return total + (10 - index) * (digit === "X" ? 10 : Number(digit));
  }, 0);
  return sum % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const digits = text.replace(/[\s-]/g, "");
  if (!/^\d{13}$/.test(digits)) return false;
  const sum = [...digits].reduce((total, digit, index) => {
    return total + Number(digit) * (index % 2 === 0 ? 1 : 3);
  }, 0);
  return sum % 10 === 0;
}

function isRgb(text: string): boolean {
  const found = /^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$/.exec(text);
  return found?.slice(1).every((part) => Number(part) <= 255) === true;
}

/** What is wrong with `text` as a string of `format`; undefined when it fits or is not checked. */
export function formatProblem(format: string, text: string): string | undefined {
  const check = checks[format.replaceAll("-", "")];
  if (check === undefined || check(text)) return undefined;
  return `must be of type ${format}: ${JSON.stringify(text)}`;
}

/** True for formats that are checked on strings. */
export function isKnownFormat(format: string): boolean {
  return Object.hasOwn(checks, format.replaceAll("-", ""));
}
