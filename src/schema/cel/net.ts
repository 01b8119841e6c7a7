/** IP addresses and CIDR ranges in CEL. */
import type { Environment } from "@marcbachmann/cel-js";
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

class CelIp {
  constructor(
    readonly text: string,
    readonly address: Address,
  ) {}

  /** Kubernetes takes neither zones, nor IPv4 in IPv6, nor leading zeros. */
  static parse(text: string): CelIp | undefined {
    if (/%|^::ffff:\d+\./i.test(text)) return undefined;
    if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
      if (text.split(".").some((part) => /^0\d/.test(part))) return undefined;
      return new CelIp(text, ipaddr.IPv4.parse(text));
    }
    return text.includes(":") && ipaddr.IPv6.isValid(text)
      ? new CelIp(text, ipaddr.IPv6.parse(text))
      : undefined;
  }
  get canonical(): string {
    return this.address.toString();
  }
  toString(): string {
    return this.canonical;
  }
}

class CelCidr {
  constructor(
    readonly ip: CelIp,
    readonly bits: number,
  ) {}

  static parse(text: string): CelCidr | undefined {
    const [address = "", bits = "", more] = text.split("/");
    const ip = CelIp.parse(address);
    const most = ip?.address.kind() === "ipv4" ? 32 : 128;
    if (ip === undefined || more !== undefined || !/^(0|[1-9]\d*)$/.test(bits)) return undefined;
    return Number(bits) <= most ? new CelCidr(ip, Number(bits)) : undefined;
  }
  get masked(): CelCidr {
    const { address } = this.ip;
    const family = address.kind() === "ipv4" ? ipaddr.IPv4 : ipaddr.IPv6;
    const network = family.networkAddressFromCIDR(`${address.toString()}/${this.bits}`);
    return new CelCidr(new CelIp(network.toString(), network), this.bits);
  }
  contains({ address }: CelIp): boolean {
    if (address.kind() !== this.ip.address.kind()) return false;
    return address.match(this.ip.address as never, this.bits);
  }
  toString(): string {
    return `${this.ip.canonical}/${this.bits}`;
  }
}

function ipOf(text: string): CelIp {
  const ip = CelIp.parse(text);
  if (ip === undefined) throw new Error(`IP Address ${JSON.stringify(text)} parse error`);
  return ip;
}

function cidrOf(text: string): CelCidr {
  const cidr = CelCidr.parse(text);
  if (cidr === undefined) throw new Error(`network address parse error: ${JSON.stringify(text)}`);
  return cidr;
}

function rangeOf({ address }: CelIp): string {
  return address.range();
}

export function registerNet(environment: Environment): void {
  environment.registerType("net.IP", { ctor: CelIp, fields: {} });
  environment.registerType("net.CIDR", { ctor: CelCidr, fields: {} });
  const add = environment.registerFunction.bind(environment);
  add("ip(string): net.IP", ipOf);
  add("isIP(string): bool", (text: string) => CelIp.parse(text) !== undefined);
  add("string(net.IP): string", (ip: CelIp) => ip.canonical);
  add("net.IP.family(): int", ({ address }: CelIp) => (address.kind() === "ipv4" ? 4n : 6n));
  add("net.IP.isUnspecified(): bool", (ip: CelIp) => rangeOf(ip) === "unspecified");
  add("net.IP.isLoopback(): bool", (ip: CelIp) => rangeOf(ip) === "loopback");
  add("net.IP.isLinkLocalUnicast(): bool", (ip: CelIp) => rangeOf(ip) === "linkLocal");
  add("net.IP.isLinkLocalMulticast(): bool", (ip: CelIp) => {
    return /^(224\.0\.0\.\d+|ff[0-9a-f]2:.*)$/.test(ip.canonical);
  });
  add("net.IP.isGlobalUnicast(): bool", (ip: CelIp) => {
    const others = ["unspecified", "loopback", "linkLocal", "multicast", "broadcast"];
    return !others.includes(rangeOf(ip));
  });
  environment.registerOperator("net.IP == net.IP", (a: CelIp, b: CelIp) => {
    return a.canonical === b.canonical;
  });
  registerCidrs(environment);
}

function registerCidrs(environment: Environment): void {
  const add = environment.registerFunction.bind(environment);
  add("cidr(string): net.CIDR", cidrOf);
  add("isCIDR(string): bool", (text: string) => CelCidr.parse(text) !== undefined);
  add("string(net.CIDR): string", (cidr: CelCidr) => cidr.toString());
  add("net.CIDR.ip(): net.IP", ({ ip }: CelCidr) => ip);
  add("net.CIDR.masked(): net.CIDR", ({ masked }: CelCidr) => masked);
  add("net.CIDR.prefixLength(): int", ({ bits }: CelCidr) => BigInt(bits));
  add("net.CIDR.containsIP(net.IP): bool", (cidr: CelCidr, ip: CelIp) => cidr.contains(ip));
  add("net.CIDR.containsIP(string): bool", (cidr: CelCidr, text: string) => {
    return cidr.contains(ipOf(text));
  });
  const containsCidr = (outer: CelCidr, inner: CelCidr): boolean =>
    inner.bits >= outer.bits && outer.contains(inner.ip);
  add("net.CIDR.containsCIDR(net.CIDR): bool", containsCidr);
  add("net.CIDR.containsCIDR(string): bool", (outer: CelCidr, text: string) => {
    return containsCidr(outer, cidrOf(text));
  });
  environment.registerOperator("net.CIDR == net.CIDR", (a: CelCidr, b: CelCidr) => {
    return a.toString() === b.toString();
  });
}
