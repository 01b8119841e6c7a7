/** What a listener and a route have in common of names. */

/** Any name where neither says one; [] when they have none in common. */
export function commonHosts(
  ofListener: string | undefined,
  ofRoute: readonly string[] | undefined,
): readonly string[] {
  const listener = ofListener?.toLowerCase() ?? "";
  if (ofRoute === undefined || ofRoute.length === 0) return [listener];
  return ofRoute.flatMap((one) => common(listener, one.toLowerCase()) ?? []);
}

/** The narrower of two; undefined when no name is meant by both. */
function common(a: string, b: string): string | undefined {
  if (a === "" || a === b) return b;
  if (b === "") return a;
  if (covers(a, b)) return b;
  return covers(b, a) ? a : undefined;
}

/** `*.example.com` means names of one label more, or of several. */
function covers(wildcard: string, name: string): boolean {
  if (!wildcard.startsWith("*.")) return false;
  const rest = name.startsWith("*.") ? name.slice(2) : name;
  return rest.endsWith(wildcard.slice(1));
}

/** As the table of routes has them: its `*.` is one label, its `**.` several. */
export function tableHost(host: string): string {
  return host.startsWith("*.") ? `*${host}` : host;
}
