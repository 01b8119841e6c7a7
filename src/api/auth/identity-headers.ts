/**
 * Headers that say who asks. Web headers join the values of one name by commas, so that a value
 * with a comma would be two: the front door writes commas inside of values in another way.
 */

/** A value as the front door hands it on. */
export function listedValue(value: string): string {
  return value.replaceAll("%", "%25").replaceAll(",", "%2C");
}

function read(value: string): string {
  return value.replaceAll("%2C", ",").replaceAll("%25", "%");
}

/** "" when the header is absent. */
export function headerValue(headers: Headers, name: string): string {
  return read(headers.get(name) ?? "");
}

/** All values that are not empty. */
export function headerValues(headers: Headers, name: string): readonly string[] {
  const all = (headers.get(name) ?? "").split(",").map((value) => value.trim());
  return all.filter((value) => value !== "").map(read);
}

/** The key of an extra value in the name of its header; one that is not encoded is itself. */
export function unescapedKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch (error) {
    if (error instanceof URIError) return key;
    throw error;
  }
}
