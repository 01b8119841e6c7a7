/**
 * Numbers for the endpoints of services. All endpoints stand in a few maps under their number; a
 * service draws lots among its own range: one map for each service would make the kernel search
 * through all of them for each rule, minutes for some thousand services.
 */

export interface IndexRange {
  /** The number of the first endpoint. */
  readonly base: number;
  /** Which of the maps holds them. */
  readonly shard: number;
}

/** Room for so many endpoints; a service with more takes several rooms. */
const roomSize = 4096;
/** The kernel goes through all rules of a map when one more is added. */
const shards = 64;

interface Held extends IndexRange {
  readonly room: number;
  readonly rooms: number;
}

export class IndexRanges {
  readonly #held = new Map<string, Held>();
  /** Rooms that were given back, by how many lie side by side. */
  readonly #free = new Map<number, number[]>();
  #next = 0;

  /** The same key has the same range for as long as it has room. */
  of(key: string, count: number): IndexRange {
    const known = this.#held.get(key);
    if (known !== undefined && count <= known.rooms * roomSize) return known;
    this.giveBack(key);
    const rooms = Math.ceil(count / roomSize);
    let room = this.#free.get(rooms)?.pop();
    if (room === undefined) {
      room = this.#next;
      this.#next += rooms;
    }
    const range = { room, rooms, base: room * roomSize, shard: room % shards };
    this.#held.set(key, range);
    return range;
  }

  /** For what nobody uses any more. */
  giveBack(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    const free = this.#free.get(held.rooms);
    if (free === undefined) this.#free.set(held.rooms, [held.room]);
    else free.push(held.room);
  }
}
