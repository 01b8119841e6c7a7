/** IP addresses and CIDR ranges. */
import ipaddr from "ipaddr.js";
import type { Functions } from "../check/functions.ts";
import { nameType, opaque } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { CelOpaque } from "../run/values.ts";
import { addressProblem } from "./address-problem.ts";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const ipType = nameType(opaque("net.IP")).name;
const cidrType = nameType(opaque("net.CIDR")).name;

class CelIp extends CelOpaque {
  override readonly typeName = ipType;
  constructor(readonly address: Address) {
    super();
  }

  /** Neither zones nor leading zeros, nor IPv4 addresses in IPv6. */
  static parse(text: string): CelIp | undefined {
    if (text.includes("%")) return undefined;
    if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
      if (text.split(".").some((part) => /^0\d/.test(part))) return undefined;
      return new CelIp(ipaddr.IPv4.parse(text));
    }
    if (!text.includes(":") || !ipaddr.IPv6.isValid(text)) return undefined;
    const address = ipaddr.IPv6.parse(text);
    return address.isIPv4MappedAddress() ? undefined : new CelIp(address);
  }

  get isV4(): boolean {
    return this.address.kind() === "ipv4";
  }
  override equals(other: CelOpaque): boolean {
    return other instanceof CelIp && other.toString() === this.toString();
  }
  override toString(): string {
    return this.address.toString();
  }
}

class CelCidr extends CelOpaque {
  override readonly typeName = cidrType;
  constructor(
    readonly ip: CelIp,
    readonly bits: number,
  ) {
    super();
  }

  static parse(text: string): CelCidr | undefined {
    const [address = "", bits = "", more] = text.split("/");
    const ip = CelIp.parse(address);
    if (ip === undefined || more !== undefined || !/^(0|[1-9]\d*)$/.test(bits)) return undefined;
    return Number(bits) <= (ip.isV4 ? 32 : 128) ? new CelCidr(ip, Number(bits)) : undefined;
  }

  /** How many bytes of an address the range tells: costs go by it. */
  get bytes(): number {
    return Math.ceil(this.bits / 8);
  }
  get masked(): CelCidr {
    const family = this.ip.isV4 ? ipaddr.IPv4 : ipaddr.IPv6;
    const network = family.networkAddressFromCIDR(`${this.ip}/${this.bits}`);
    return new CelCidr(new CelIp(network), this.bits);
  }
  contains({ address }: CelIp): boolean {
    if (address.kind() !== this.ip.address.kind()) return false;
    return address.match(this.ip.address as never, this.bits);
  }
  override equals(other: CelOpaque): boolean {
    return other instanceof CelCidr && other.toString() === this.toString();
  }
  override toString(): string {
    return `${this.ip}/${this.bits}`;
  }
}

function ipOf(text: string): CelIp {
  const ip = CelIp.parse(text);
  if (ip !== undefined) return ip;
  const quoted = JSON.stringify(text);
  const problem = addressProblem(text);
  if (problem !== undefined) {
    throw new CelFault(
      `IP Address ${quoted} parse error during conversion from string: ${problem}`,
    );
  }
  if (text.includes("%")) throw new CelFault(`IP address ${quoted} with zone value is not allowed`);
  throw new CelFault(`IPv4-mapped IPv6 address ${quoted} is not allowed`);
}

function cidrOf(text: string): CelCidr {
  const cidr = CelCidr.parse(text);
  if (cidr !== undefined) return cidr;
  const prefix = "network address parse error during conversion from string: ";
  const quoted = JSON.stringify(text);
  const problem = prefixProblem(text);
  if (problem === undefined) {
    throw new CelFault(`${prefix}IPv4-mapped IPv6 address ${quoted} is not allowed`);
  }
  throw new CelFault(`${prefix}${prefix}netip.ParsePrefix(${quoted}): ${problem}`);
}

/** @returns undefined where only IPv4 within IPv6 is refused. */
function prefixProblem(text: string): string | undefined {
  const slash = text.lastIndexOf("/");
  if (slash === -1) return "no '/'";
  const [address, bits] = [text.slice(0, slash), text.slice(slash + 1)];
  const problem = addressProblem(address);
  if (problem !== undefined) return problem;
  if (address.includes("%")) return "IPv6 zones cannot be present in a prefix";
  if (!/^(0|[1-9]\d*)$/.test(bits)) return `bad bits after slash: ${JSON.stringify(bits)}`;
  const isOutside = Number(bits) > (address.includes(":") ? 128 : 32);
  return isOutside ? "prefix length out of range" : undefined;
}

function hasRange(...ranges: readonly string[]): (ip: CelIp) => boolean {
  return ({ address }) => ranges.includes(address.range());
}

export function registerNet(functions: Functions): void {
  functions
    .add(`ip(string): ${ipType}`, ipOf)
    .add("isIP(string): bool", (text: string) => CelIp.parse(text) !== undefined)
    .add("ip.isCanonical(string): bool", (text: string) => ipOf(text).toString() === text)
    .add(`string(${ipType}): string`, (ip: CelIp) => ip.toString())
    .add(`${ipType}->family(): int`, ({ isV4 }: CelIp) => (isV4 ? 4n : 6n))
    .add(`${ipType}->isUnspecified(): bool`, hasRange("unspecified"))
    .add(`${ipType}->isLoopback(): bool`, hasRange("loopback"))
    .add(`${ipType}->isLinkLocalUnicast(): bool`, hasRange("linkLocal"))
    .add(`${ipType}->isLinkLocalMulticast(): bool`, (ip: CelIp) => {
      return /^(224\.0\.0\.\d+|ff[0-9a-f]2:.*)$/.test(ip.toString());
    })
    .add(`${ipType}->isGlobalUnicast(): bool`, (ip: CelIp) => {
      return !hasRange("unspecified", "loopback", "linkLocal", "multicast", "broadcast")(ip);
    });
  registerCidrs(functions);
}

function registerCidrs(functions: Functions): void {
  const holds = (outer: CelCidr, inner: CelCidr): boolean =>
    inner.bits >= outer.bits && outer.contains(inner.ip);
  functions
    .add(`cidr(string): ${cidrType}`, cidrOf)
    .add("isCIDR(string): bool", (text: string) => CelCidr.parse(text) !== undefined)
    .add(`string(${cidrType}): string`, (cidr: CelCidr) => cidr.toString())
    .add(`${cidrType}->ip(): ${ipType}`, ({ ip }: CelCidr) => ip, "cidr_ip")
    .add(`${cidrType}->masked(): ${cidrType}`, ({ masked }: CelCidr) => masked)
    .add(`${cidrType}->prefixLength(): int`, ({ bits }: CelCidr) => BigInt(bits))
    .add(`${cidrType}->containsIP(${ipType}): bool`, (cidr: CelCidr, ip: CelIp) =>
      cidr.contains(ip),
    )
    .add(
      `${cidrType}->containsIP(string): bool`,
      (cidr: CelCidr, text: string) => {
        const ip = CelIp.parse(text);
        if (ip === undefined) throw new CelFault("no such overload");
        return cidr.contains(ip);
      },
      "cidr_contains_ip_string",
    )
    .add(`${cidrType}->containsCIDR(${cidrType}): bool`, holds)
    .add(
      `${cidrType}->containsCIDR(string): bool`,
      (outer: CelCidr, text: string) => holds(outer, cidrOf(text)),
      "cidr_contains_cidr_string",
    );
}
