/**
 * One pod of a policy test: answers on two ports of its addresses (the arguments) over TCP and UDP,
 * and tries to reach others. Each line on stdin is an `Order` in JSON; the line that answers holds
 * whether each of its targets was reached.
 */
export interface Target {
  readonly ip: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
}

/** One line on stdin. */
export interface Order {
  readonly targets: readonly Target[];
  /** Refused datagrams are mostly lost without a word. */
  readonly udpWaitMs: number;
}

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

async function udp({ ip, port }: Target, waitMs: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = await Bun.udpSocket({
    hostname: ip.includes(":") ? "::" : "0.0.0.0",
    // A port used before may still have a flow that was allowed then.
    port: udpPort++,
    socket: { data: () => resolve(true), error: () => resolve(false) },
  });
  socket.send("?", port, ip);
  const timer = setTimeout(() => resolve(false), waitMs);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

if (import.meta.main) {
  const places = process.argv.slice(2).flatMap((ip) => [80, 81].map((port) => [ip, port] as const));
  for (const [hostname, port] of places) {
    Bun.listen({ hostname, port, socket: { data: () => {} } });
    await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (socket, _data, from, address) => void socket.send("!", from, address),
        error: () => {}, // who asked does not wait any more
      },
    });
  }
  console.log("ready");
  for await (const line of console) {
    const { targets, udpWaitMs } = JSON.parse(line) as Order;
    const reached = targets.map((one) => {
      return one.protocol === "TCP" ? tcp(one) : udp(one, udpWaitMs);
    });
    console.log(JSON.stringify(await Promise.all(reached)));
  }
}
