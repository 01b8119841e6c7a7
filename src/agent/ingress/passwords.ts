/** Passwords as htpasswd keeps them: bcrypt, Apache's MD5, SHA-1. */
import { createHash } from "node:crypto";
import { sameSecret } from "../../lib/same-secret.ts";

/** Those that were right lately: bcrypt is slow by intention. */
const right = new Set<string>();
const rightMax = 1000;

/** A promise where it takes long. */
export function isPassword(password: string, hash: string): boolean | Promise<boolean> {
  if (hash.startsWith("{SHA}")) {
    return sameSecret(createHash("sha1").update(password).digest("base64"), hash.slice(5));
  }
  const [, scheme, salt = ""] = /^\$(\w+)\$([^$]*)/.exec(hash) ?? [];
  if (scheme === "apr1") return sameSecret(apacheMd5(password, salt), hash);
  if (scheme === "2y" || scheme === "2a" || scheme === "2b") return isBcrypt(password, hash);
  return false;
}

function isBcrypt(password: string, hash: string): boolean | Promise<boolean> {
  const mark = createHash("sha256").update(`${hash} ${password}`).digest("base64");
  if (right.has(mark)) return true;
  const verified = Bun.password.verify(password, hash.replace(/^\$2[ya]\$/, "$2b$"), "bcrypt");
  return verified.then(
    (is) => {
      if (right.size >= rightMax) right.clear();
      if (is) right.add(mark);
      return is;
    },
    () => false, // the hash is malformed
  );
}

const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const rounds = 1000;
/** In which order the bytes of the last digest are written, three by three. */
const order = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 5] as const;

/** The `$apr1$` form: MD5 a thousand times, in turns that were meant to be slow. */
export function apacheMd5(password: string, salt: string): string {
  const secret = Buffer.from(password);
  const grain = Buffer.from(salt.slice(0, 8));
  const md5 = (...parts: readonly Buffer[]): Buffer =>
    createHash("md5").update(Buffer.concat(parts)).digest();
  const other = md5(secret, grain, secret);
  const parts: Buffer[] = [secret, Buffer.from("$apr1$"), grain];
  for (let left = secret.length; left > 0; left -= 16) parts.push(other.subarray(0, left));
  for (let bits = secret.length; bits > 0; bits >>= 1) {
    parts.push((bits & 1) === 1 ? Buffer.of(0) : secret.subarray(0, 1));
  }
  let digest = md5(...parts);
  for (let round = 0; round < rounds; round++) {
    const isOdd = (round & 1) === 1;
    digest = md5(
      isOdd ? secret : digest,
      ...(round % 3 === 0 ? [] : [grain]),
      ...(round % 7 === 0 ? [] : [secret]),
      isOdd ? digest : secret,
    );
  }
  let text = "";
  const write = (value: number, characters: number): void => {
    for (let i = 0, left = value; i < characters; i++, left >>= 6) text += alphabet[left & 63];
  };
  const byte = (at: number | undefined): number => digest[at ?? 0] ?? 0;
  for (let at = 0; at < order.length; at += 3) {
    write((byte(order[at]) << 16) | (byte(order[at + 1]) << 8) | byte(order[at + 2]), 4);
  }
  write(byte(11), 2);
  return `$apr1$${salt.slice(0, 8)}$${text}`;
}
