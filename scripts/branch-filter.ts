/**
 * Turns the relative targets of calls into absolute ones: the same function called from many
 * places then reads the same, which the compressor rewards. launcher.c turns them back.
 */
import type { Arch } from "./deps.ts";

/** Filters `code` in place; `launcher.c` holds the inverse of each. */
export function filterBranches(arch: Arch, code: Uint8Array): void {
  if (arch === "amd64") filterAmd64(code);
  else filterArm64(code);
}

/** CALL and JMP with a distance of up to 128 MiB; big-endian, so that equal bytes come first. */
function filterAmd64(code: Uint8Array): void {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  const range = 1 << 27;
  for (let at = 0; at + 5 <= code.length; ) {
    const operation = code[at];
    if (operation !== 0xe8 && operation !== 0xe9) {
      at += 1;
      continue;
    }
    const distance = view.getInt32(at + 1, true);
    const near = distance >= -range && distance < range;
    // 28 bits, the sign carried upwards: the result is in the same range again.
    view.setInt32(at + 1, near ? ((distance + at) << 4) >> 4 : distance, false);
    at += 5;
  }
}

/** BL: 26 bits, counted in instructions. */
function filterArm64(code: Uint8Array): void {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  for (let at = 0; at + 4 <= code.length; at += 4) {
    const instruction = view.getUint32(at, true);
    if (instruction >>> 26 !== 0x25) continue;
    const target = (instruction + at / 4) & 0x3ffffff;
    view.setUint32(at, (0x94000000 | target) >>> 0, true);
  }
}
