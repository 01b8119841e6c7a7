import { expect, test } from "bun:test";
import { bytesToFree, type ImageRecord, imagesToFree } from "./image-gc.ts";

const marks = { imageGcHighPercent: 85, imageGcLowPercent: 80 };

test("nothing is to be freed before the high mark; then down to the low one", () => {
  const disk = (freeBytes: number) => ({
    totalBytes: 1000,
    freeBytes,
    totalInodes: 0,
    freeInodes: 0,
  });
  expect(bytesToFree(disk(160), marks)).toBe(0);
  expect(bytesToFree(disk(150), marks)).toBe(50);
  expect(bytesToFree(disk(10), marks)).toBe(190);
});

test("images go by last use, then by age, and no more than needed", () => {
  const image = (id: string, firstSeenMs: number, lastUsedMs: number): ImageRecord => ({
    id,
    sizeBytes: 10,
    firstSeenMs,
    lastUsedMs,
  });
  const images = [
    image("recent", 0, 900),
    image("never", 5, 0),
    image("older", 0, 0),
    image("young", 950, 0),
    image("now", 0, 1000),
  ];
  const need = { nowMs: 1000, ageMinMs: 100 };
  const ids = (bytes: number) => imagesToFree(images, { ...need, bytes }).map(({ id }) => id);
  expect(ids(Number.POSITIVE_INFINITY)).toEqual(["older", "never", "recent"]);
  expect(ids(11)).toEqual(["older", "never"]);
  expect(ids(10)).toEqual(["older"]);
});
