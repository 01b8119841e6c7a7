/**
 * Paths in one form, for the routes and for the backend alike: else `/public/%2e%2e/admin` would
 * be one thing to us and another to who serves it.
 */

const isPlain = /^(?:\/(?!\.{0,2}(?:\/|$))[^%/]*)+\/?$/;

/** The path in its normal form; undefined for what leads above the root or is no path. */
export function normalPath(path: string): string | undefined {
  if (path === "/" || isPlain.test(path)) return path;
  const decoded = path.replace(/%(..?)?/g, decodeUnreserved);
  if (decoded.includes("%?")) return undefined;
  const parts: string[] = [];
  const asked = decoded.split("/").slice(1);
  for (const [at, part] of asked.entries()) {
    const isLast = at === asked.length - 1;
    switch (part) {
      case "":
      case ".":
        if (isLast) parts.push("");
        break;
      case "..":
        if (parts.pop() === undefined) return undefined;
        if (isLast) parts.push("");
        break;
      default:
        parts.push(part);
    }
  }
  return `/${parts.join("/")}`;
}

/** What needs no encoding is written plainly; "%?" marks what is malformed. */
function decodeUnreserved(_: string, hex: string | undefined): string {
  if (hex === undefined || !/^[0-9a-fA-F]{2}$/.test(hex)) return "%?";
  const code = Number.parseInt(hex, 16);
  if (code === 0) return "%?";
  const character = String.fromCharCode(code);
  return /[A-Za-z0-9._~-]/.test(character) ? character : `%${hex.toUpperCase()}`;
}
