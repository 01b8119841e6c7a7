/** Short names of pod templates: FNV-1a over canonical JSON, in Kubernetes' safe letters. */
import { canonicalJson } from "./objects.ts";

const safeLetters = "bcdfghjklmnpqrstvwxz2456789";

/** 32-bit FNV-1a. */
export function fnv32a(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** Replaces each character by a letter that spells no words. */
export function safeEncode(text: string): string {
  let encoded = "";
  for (let i = 0; i < text.length; i++) {
    encoded += safeLetters[text.charCodeAt(i) % safeLetters.length];
  }
  return encoded;
}

/** `collisionCount` moves a template to another name when its own is taken. */
export function templateHash(template: unknown, collisionCount: number | undefined): string {
  const suffix = collisionCount === undefined ? "" : `#${collisionCount}`;
  const bytes = new TextEncoder().encode(canonicalJson(template) + suffix);
  return safeEncode(String(fnv32a(bytes)));
}
