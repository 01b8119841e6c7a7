import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { realHost } from "../runtime/host.ts";
import { createRuntime } from "../runtime/real.ts";
import { listenersOf, portOwner } from "./port-owner.ts";

test("listenersOf() reads sockets that listen, at their port only", () => {
  const row = (local: string, state: string, inode: number): string =>
    ` 0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 0000  0  0 ${inode} 1 x`;
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid",
    row("00000000:0050", "0A", 4711),
    row("0100007F:0050", "01", 4712),
    row("00000000:1050", "0A", 4713),
  ];
  expect(listenersOf(table.join("\n"), 80)).toEqual(["4711"]);
});

test("portOwner() names the process that listens", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  const port = typeof at === "object" && at !== null ? at.port : 0;
  const { files } = createRuntime();
  expect(await portOwner(realHost, files, port)).toStartWith(`process ${process.pid} (`);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  expect(await portOwner(realHost, files, port)).toBeUndefined();
});
