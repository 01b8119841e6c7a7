/** Durable creates and reads over TLS, 64 clients on their own connections. */
import type { ClientHttp2Session } from "node:http2";
import type { Bench, Measure } from "./main.ts";
import { BenchServer } from "./server.ts";

const runs = 5;
const clients = 64;
const createsPerRun = 6_400;
const getsPerRun = 12_800;
const path = "/api/v1/namespaces/default/configmaps";

export const apiBench: Bench = {
  name: "api",
  async run(): Promise<readonly Measure[]> {
    const server = new BenchServer(["--disable-agent"]);
    const creates: number[] = [];
    const gets: number[] = [];
    try {
      await server.start();
      const sessions = Array.from({ length: clients }, () => server.connect());
      for (let run = 0; run < runs; run++) {
        creates.push(
          await perSecond(createsPerRun, sessions, async (session, i) => {
            const name = `run-${run}-${i}`;
            const object = {
              apiVersion: "v1",
              kind: "ConfigMap",
              metadata: { name },
              data: { i: `${i}` },
            };
            const { status } = await server.request("POST", path, object, session);
            if (status !== 201) throw new Error(`create answered ${status}`);
          }),
        );
        gets.push(
          await perSecond(getsPerRun, sessions, async (session, i) => {
            const name = `run-${run}-${i % createsPerRun}`;
            const { status } = await server.request("GET", `${path}/${name}`, undefined, session);
            if (status !== 200) throw new Error(`get answered ${status}`);
          }),
        );
      }
      for (const session of sessions) session.destroy();
    } finally {
      await server.destroy();
    }
    return [
      { name: "durable creates, 64 clients, TLS", unit: "1/s", runs: creates, budget: "≥ 2500" },
      {
        name: "GET, 64 clients, TLS, load tool beside it",
        unit: "1/s",
        runs: gets,
        budget: "≥ 8000",
      },
    ];
  },
};

async function perSecond(
  count: number,
  sessions: readonly ClientHttp2Session[],
  work: (session: ClientHttp2Session, i: number) => Promise<void>,
): Promise<number> {
  let next = 0;
  const begin = performance.now();
  await Promise.all(
    sessions.map(async (session) => {
      while (next < count) await work(session, next++);
    }),
  );
  return (count / (performance.now() - begin)) * 1000;
}
