/** Addresses as text, and as the names that ask for their owners. */
const byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const v4 = new RegExp(`^${byte}(?:\\.${byte}){3}$`);

/** The one way to write an address (RFC 5952), or undefined for what is none. */
export function canonicalAddress(text: string): string | undefined {
  if (v4.test(text)) return text;
  if (!/^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(text)) return undefined;
  const url = URL.parse(`http://[${text}]/`);
  return url === null ? undefined : url.hostname.slice(1, -1);
}

/** The address that a PTR question is about: `5.0.43.10.in-addr.arpa`, or 32 nibbles. */
export function reversedAddress(name: string): string | undefined {
  const [, labels = "", family] = /^(.+)\.(in-addr|ip6)\.arpa$/.exec(name) ?? [];
  const parts = labels.split(".").reverse();
  if (family === "in-addr")
    return parts.length === 4 ? canonicalAddress(parts.join(".")) : undefined;
  if (parts.length !== 32 || !parts.every((nibble) => /^[0-9a-f]$/.test(nibble))) return undefined;
  return canonicalAddress(parts.join("").replace(/(.{4})(?!$)/g, "$1:"));
}

/** The address that a pod's name holds: `10-42-0-7`, `fd00--1`. */
export function dashedAddress(label: string): string | undefined {
  const isV4 = label.split("-").length === 4 && !label.includes("--");
  return canonicalAddress(label.replaceAll("-", isV4 ? "." : ":"));
}

export function familyOf(ip: string): "A" | "AAAA" {
  return ip.includes(":") ? "AAAA" : "A";
}
