import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendedPayload, payloadHeader } from "./appended-payload.ts";

const dir = mkdtempSync(join(tmpdir(), "appended-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const sha256 = "0123456789abcdef".repeat(4);

/** An ELF header whose table of two sections ends at `end`. */
function image(end: number): Buffer {
  const elf = Buffer.alloc(end);
  elf.write("\x7fELF", "latin1");
  elf.writeBigUInt64LE(BigInt(end - 128), 40);
  elf.writeUInt16LE(64, 58);
  elf.writeUInt16LE(2, 60);
  return elf;
}

function file(name: string, ...parts: Uint8Array[]): string {
  const path = join(dir, name);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

describe("the payload behind an ELF image", () => {
  test("is found, and ends where its length says", async () => {
    const data = Buffer.from("programs");
    const tail = Buffer.from("written later by somebody else");
    const path = file("whole", image(500), payloadHeader(sha256, data.length), data, tail);
    const found = appendedPayload(path);
    expect(found?.sha256).toBe(sha256);
    expect(await found?.data.text()).toBe("programs");
  });

  test("is absent behind an image alone, behind foreign bytes, and in what is no image", () => {
    expect(appendedPayload(file("bare", image(500)))).toBeUndefined();
    expect(appendedPayload(file("foreign", image(500), Buffer.alloc(500, 7)))).toBeUndefined();
    expect(appendedPayload(file("text", Buffer.alloc(500, 0x20)))).toBeUndefined();
  });
});
