/** The two families of IP addresses, by the names that Kubernetes gives them. */

export type IpFamily = "IPv4" | "IPv6";

/** Of an address or a range, as text that is known to be one. */
export function familyOf(text: string): IpFamily {
  return text.includes(":") ? "IPv6" : "IPv4";
}

/** The first of the texts that is of this family. */
export function firstOf(texts: readonly string[], family: IpFamily): string | undefined {
  return texts.find((text) => familyOf(text) === family);
}
