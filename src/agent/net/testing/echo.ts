/** Answers each TCP connection and UDP packet with `name client-address`, inside a namespace. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { plainAddress } from "../../../lib/ip-range.ts";

const [name = "", port = "0"] = process.argv.slice(2);
const told = (address = ""): string => `${name} ${plainAddress(address)}`;
createServer((socket) => {
  socket.on("error", () => {});
  socket.end(told(socket.remoteAddress));
}).listen(Number(port), "::", () => {
  const udp = createSocket("udp6");
  udp.on("message", (_data, from) => udp.send(told(from.address), from.port, from.address));
  udp.bind(Number(port), "::", () => process.stdout.write("ready\n"));
});
