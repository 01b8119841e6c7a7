/** Why Go takes a text for no IP address, in its words. */

/** @returns undefined for addresses, also with zones. */
export function addressProblem(text: string): string | undefined {
  const why = reason(text);
  return why === undefined ? undefined : `ParseAddr(${JSON.stringify(text)}): ${why}`;
}

function reason(text: string): string | undefined {
  switch (/[.:%]/.exec(text)?.[0]) {
    case ".":
      return ofV4(text);
    case ":":
      return ofV6(text);
    case "%":
      return "missing IPv6 address";
    default:
      return "unable to parse IP";
  }
}

function at(message: string, rest: string): string {
  return `${message} (at ${JSON.stringify(rest)})`;
}

function ofV4(text: string): string | undefined {
  let octet = "";
  let dots = 0;
  for (let index = 0; index < text.length; index++) {
    const char = text.charAt(index);
    if (/\d/.test(char)) {
      if (octet === "0") return "IPv4 field has octet with leading zero";
      octet += char;
      if (Number(octet) > 255) return "IPv4 field has value >255";
    } else if (char !== ".") {
      return at("unexpected character", text.slice(index));
    } else {
      const isEmpty = octet === "" || index === text.length - 1;
      if (isEmpty) return at("IPv4 field must have at least one digit", text.slice(index));
      if (dots === 3) return "IPv4 address too long";
      dots++;
      octet = "";
    }
  }
  return dots < 3 ? "IPv4 address too short" : undefined;
}

function ofV6(text: string): string | undefined {
  const zone = text.indexOf("%");
  if (zone === text.length - 1) return "zone must be a non-empty string";
  return ofGroups(zone === -1 ? text : text.slice(0, zone));
}

const groupsMax = 8;

function ofGroups(text: string): string | undefined {
  let isShort = text.startsWith("::");
  let rest = isShort ? text.slice(2) : text;
  let groups = 0;
  while (rest !== "" && groups < groupsMax) {
    const digits = /^[\da-f]*/i.exec(rest)?.[0] ?? "";
    if (digits.length > 4) return at("each group must have 4 or less digits", rest);
    if (digits === "") {
      return at("each colon-separated field must have at least one digit", rest);
    }
    if (rest.charAt(digits.length) === ".") return ofEmbedded(rest, groups, isShort);
    groups++;
    rest = rest.slice(digits.length);
    if (rest === "") break;
    if (!rest.startsWith(":")) return at("unexpected character, want colon", rest);
    if (rest === ":") return at("colon must be followed by more characters", rest);
    rest = rest.slice(1);
    if (!rest.startsWith(":")) continue;
    if (isShort) return at("multiple :: in address", rest);
    isShort = true;
    rest = rest.slice(1);
  }
  if (rest !== "") return at("trailing garbage after address", rest);
  return ofCount(groups, isShort);
}

function ofEmbedded(rest: string, groups: number, isShort: boolean): string | undefined {
  if (!isShort && groups !== groupsMax - 2) {
    return at("embedded IPv4 address must replace the final 2 fields of the address", rest);
  }
  if (groups > groupsMax - 2) {
    return at("too many hex fields to fit an embedded IPv4 at the end of the address", rest);
  }
  return ofV4(rest) ?? ofCount(groups + 2, isShort);
}

function ofCount(groups: number, isShort: boolean): string | undefined {
  if (groups < groupsMax) return isShort ? undefined : "address string too short";
  return isShort ? "the :: must expand to at least one field of zeros" : undefined;
}
