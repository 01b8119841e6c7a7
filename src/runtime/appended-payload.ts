/**
 * The payload lies behind the ELF image in the binary's file, not in a segment of it: what is
 * read there once, at the first start, then never counts as the process's memory.
 */
import { closeSync, openSync, readSync } from "node:fs";

/** Says that a payload follows; then its SHA-256 in hexadecimal and its length. */
const magic = "K3PAYLD\n";
const headerSize = 96;
const elfHeaderSize = 64;

export interface AppendedPayload {
  readonly data: Blob;
  readonly sha256: string;
}

/** What the build writes between the ELF image and the payload. */
export function payloadHeader(sha256: string, length: number): Uint8Array {
  const header = Buffer.alloc(headerSize);
  header.write(`${magic}${sha256}`);
  header.writeBigUInt64LE(BigInt(length), headerSize - 8);
  return header;
}

/** The payload behind the ELF image of `path`; undefined when nothing of ours is there. */
export function appendedPayload(path: string): AppendedPayload | undefined {
  const file = openSync(path, "r");
  try {
    const elf = Buffer.alloc(elfHeaderSize);
    readSync(file, elf, 0, elfHeaderSize, 0);
    if (!elf.subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"))) return undefined;
    // The table of sections is the last thing of an image.
    const end = Number(elf.readBigUInt64LE(40)) + elf.readUInt16LE(58) * elf.readUInt16LE(60);
    const header = Buffer.alloc(headerSize);
    if (readSync(file, header, 0, headerSize, end) !== headerSize) return undefined;
    if (header.toString("latin1", 0, magic.length) !== magic) return undefined;
    const start = end + headerSize;
    const length = Number(header.readBigUInt64LE(headerSize - 8));
    const sha256 = header.toString("latin1", magic.length, magic.length + 64);
    return { data: Bun.file(path).slice(start, start + length), sha256 };
  } finally {
    closeSync(file);
  }
}
