/** Zones: names in lower case without their final dot; "" is the root. */

/** `example.org`, `example.org:53` and `dns://example.org` name the same zone. */
export function zoneName(key: string): string {
  return key
    .toLowerCase()
    .replace(/^dns:\/\//, "")
    .replace(/:\d+$/, "")
    .replace(/\.$/, "");
}

export function isWithin(name: string, zone: string): boolean {
  return zone === "" || name === zone || name.endsWith(`.${zone}`);
}
