/** Characters of words, as `\b` knows them: ASCII only. */
export function isWord(text: string, at: number): boolean {
  const code = at < 0 || at >= text.length ? 0 : text.charCodeAt(at);
  const isDigit = code >= 48 && code <= 57;
  const lower = code | 32;
  return isDigit || code === 95 || (code < 128 && lower >= 97 && lower <= 122);
}
