import { openMemoryStore } from "./memory.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite("memory", async (runtime, options) => openMemoryStore(runtime, options));
