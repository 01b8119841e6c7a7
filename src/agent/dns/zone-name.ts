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

/** `fallthrough [ZONE…]`: which names are left to the next rule; without zones all are. */
export function zonesPast(args: readonly string[]): (name: string) => boolean {
  const zones = args.map(zoneName);
  return (name) => zones.length === 0 || zones.some((zone) => isWithin(name, zone));
}
