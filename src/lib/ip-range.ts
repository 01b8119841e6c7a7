/** Addresses and ranges of both families, by the names that Kubernetes gives the families. */

export type IpFamily = "IPv4" | "IPv6";

/** Of an address or a range, as text that is known to be one. */
export function familyOf(text: string): IpFamily {
  return text.includes(":") ? "IPv6" : "IPv4";
}

/** An IPv4 address that a socket of both families has told as one of IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

/** The first of the texts that is of this family. */
export function firstOf(texts: readonly string[], family: IpFamily): string | undefined {
  return texts.find((text) => familyOf(text) === family);
}

/** Addresses of an IPv4 or IPv6 range as offsets from its first address. */
export interface AddressRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly size: bigint;
}

function parseIPv4(text: string): bigint {
  return text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function parseIPv6(text: string): bigint {
  const [head = "", tail] = text.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(tail === undefined ? 0 : 8 - front.length - back.length).fill("0");
  return [...front, ...zeros, ...back].reduce(
    (sum, part) => sum * 65536n + BigInt(`0x${part}`),
    0n,
  );
}

export function isAddress(text: string): boolean {
  if (text.includes(":")) {
    if (!/^[0-9a-fA-F:]+$/.test(text) || text.split("::").length > 2) return false;
    const groups = text.split(":").filter((part) => part !== "");
    return (
      groups.every((part) => part.length <= 4) &&
      (text.includes("::") ? groups.length < 8 : groups.length === 8)
    );
  }
  const parts = text.split(".");
  return (
    parts.length === 4 &&
    parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
  );
}

export function toNumber(address: string): bigint {
  return address.includes(":") ? parseIPv6(address) : parseIPv4(address);
}

/** The one spelling that an address is stored and compared under. */
export function canonical(address: string): string {
  return fromNumber(toNumber(address), familyOf(address));
}

function formatIPv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    Number((value >> BigInt(16 * (7 - index))) & 0xffffn).toString(16),
  );
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at += 1) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === "0") length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return groups.join(":");
  const front = groups.slice(0, best.at).join(":");
  return `${front}::${groups.slice(best.at + best.length).join(":")}`;
}

export function fromNumber(value: bigint, family: IpFamily): string {
  if (family === "IPv6") return formatIPv6(value);
  return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join(".");
}

/** Parses `10.43.0.0/16`. */
export function parseRange(cidr: string): AddressRange {
  const [address = "", bits = ""] = cidr.split("/");
  const family = familyOf(address);
  const width = family === "IPv4" ? 32 : 128;
  const size = 1n << BigInt(width - Number(bits));
  const number = toNumber(address);
  return { family, first: number - (number % size), size };
}

export function isInRange(address: string, range: AddressRange): boolean {
  if (familyOf(address) !== range.family) return false;
  const offset = toNumber(address) - range.first;
  return (
    offset > 0n && offset < range.size && !(range.family === "IPv4" && offset === range.size - 1n)
  );
}

/** The address `index` places after the first of a range: `10.43.0.10` is the tenth. */
export function addressAt(cidr: string, index: number): string {
  const { first, family } = parseRange(cidr);
  return fromNumber(first + BigInt(index), family);
}
