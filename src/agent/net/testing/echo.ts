/** Answers each TCP connection and UDP packet with `name client-address`, inside a namespace. */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";

const [name = "", port = "0"] = process.argv.slice(2);
createServer((socket) => {
  socket.on("error", () => {});
  socket.end(`${name} ${socket.remoteAddress}`);
}).listen(Number(port), "0.0.0.0", () => {
  const udp = createSocket("udp4");
  udp.on("message", (_data, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
  udp.bind(Number(port), "0.0.0.0", () => process.stdout.write("ready\n"));
});
