/**
 * One pod of a policy test: answers on two ports over TCP and UDP, and tries to reach others. Each
 * line on stdin is a JSON list of targets; the line that answers holds whether each was reached.
 */
export interface Target {
  readonly ip: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

const udpWaitMs = 150;
const tcpWaitMs = 2000;

function tcp({ ip, port }: Target): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), tcpWaitMs);
  Bun.connect({
    hostname: ip,
    port,
    socket: {
      open: (socket) => {
        resolve(true);
        socket.terminate();
      },
      data: () => {},
      connectError: () => resolve(false),
    },
  }).catch(() => resolve(false));
  return promise.finally(() => clearTimeout(timer));
}

let udpPort = 20_000;

async function udp({ ip, port }: Target): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = await Bun.udpSocket({
    // A port used before may still have a flow that was allowed then.
    port: udpPort++,
    socket: { data: () => resolve(true), error: () => resolve(false) },
  });
  socket.send("?", port, ip);
  const timer = setTimeout(() => resolve(false), udpWaitMs);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

if (import.meta.main) {
  for (const port of [80, 81]) {
    Bun.listen({ hostname: "0.0.0.0", port, socket: { data: () => {} } });
    await Bun.udpSocket({
      hostname: "0.0.0.0",
      port,
      socket: { data: (socket, _data, from, address) => void socket.send("!", from, address) },
    });
  }
  console.log("ready");
  for await (const line of console) {
    const targets = JSON.parse(line) as readonly Target[];
    const reached = targets.map((one) => (one.protocol === "TCP" ? tcp(one) : udp(one)));
    console.log(JSON.stringify(await Promise.all(reached)));
  }
}
