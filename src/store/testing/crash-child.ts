/** The victim of ../crash.test.ts: writes as asked over a pipe and tells what is durable. */
import { createRuntime } from "../../runtime/real.ts";
import { openSqliteStore } from "../sqlite.ts";

const [path = "", round = "0"] = process.argv.slice(2);
const store = await openSqliteStore(path, createRuntime({ logLevel: "error" }), {
  compactEveryMs: 20,
});
const value = new TextEncoder().encode("x".repeat(1500));
const writers = 8;

async function write(writer: number): Promise<never> {
  for (let n = 0; ; n++) {
    // Each writer owns its keys: an update and a delete now and then among the creates.
    const key = `/w${writer}/r${round}/${n}`;
    const made = await store.put(key, value, 0);
    if (!made.ok) throw new Error(`${key} exists already`);
    tell("put", key, made.revision);
    if (n % 3 === 0) {
      const changed = await store.put(key, value.subarray(n % 100), made.revision);
      if (changed.ok) tell("put", key, changed.revision);
      if (changed.ok && n % 9 === 0) {
        const gone = await store.delete(key, changed.revision);
        if (gone.ok) tell("delete", key, gone.revision);
      }
    }
  }
}

function tell(type: string, key: string, revision: number): void {
  process.stdout.write(`${type} ${key} ${revision}\n`);
}

await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
