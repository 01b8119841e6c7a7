/**
 * Deals each flow a small hand of queues, so that two flows rarely share all of theirs (KEP-1040).
 * The arithmetic is upstream's: the same flow gets the same hand.
 */
import { createHash } from "node:crypto";

/** More bits of a hash than this would make the last cards uneven. */
export const hashBitsMax = 60;

/** How many bits of the hash a hand uses up; sizes must be positive. */
export function requiredEntropyBits(deckSize: number, handSize: number): number {
  return Math.ceil(Math.log2(deckSize) * handSize);
}

/** The number that stands for a flow: its schema and what distinguishes it there. */
export function hashFlow(schemaName: string, distinguisher: string): bigint {
  const hash = createHash("sha256").update(`${schemaName}\0${distinguisher}`).digest();
  return hash.readBigUInt64LE(0);
}

/** `handSize` different cards of 0..deckSize-1. */
export function deal(hash: bigint, deckSize: number, handSize: number): readonly number[] {
  const remainders: number[] = [];
  let left = hash;
  for (let i = 0; i < handSize; i++) {
    const cards = BigInt(deckSize - i);
    remainders.push(Number(left % cards));
    left /= cards;
  }
  return remainders.map((remainder, i) => {
    let card = remainder;
    // Cards that were dealt before make room for this one.
    for (let j = i - 1; j >= 0; j--) if (card >= (remainders[j] ?? 0)) card++;
    return card;
  });
}
