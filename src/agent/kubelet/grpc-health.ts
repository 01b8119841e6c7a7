/** `grpc.health.v1.Health/Check` as a probe asks it: one call on plain HTTP/2. */
import { connect } from "node:http2";

const servingStatus = 1;

/** The request message: field 1, the service name. */
function encodeRequest(service: string): Uint8Array {
  const name = new TextEncoder().encode(service);
  const message = name.length === 0 ? [] : [0x0a, name.length, ...name];
  // Five bytes before every message: not compressed, length.
  return Uint8Array.from([0, 0, 0, 0, message.length, ...message]);
}

/** The answer's field 1: its serving status. */
function decodeStatus(body: Uint8Array): number {
  const message = body.subarray(5);
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}

export interface GrpcTarget {
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly timeoutMs: number;
}

/** Undefined when the service answers SERVING, else why not. */
export function checkGrpcHealth(target: GrpcTarget): Promise<string | undefined> {
  const host = target.host.includes(":") ? `[${target.host}]` : target.host;
  return new Promise((resolve) => {
    const session = connect(`http://${host}:${target.port}`);
    const finish = (outcome: string | undefined): void => {
      resolve(outcome);
      session.destroy();
    };
    session.on("error", (error) => finish(`error: ${error.message}`));
    session.setTimeout(target.timeoutMs, () => {
      finish(`timeout: failed to connect service "${host}:${target.port}" within the time`);
    });
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "kube-probe/1.36",
    });
    const chunks: Uint8Array[] = [];
    let status = "";
    const onHeaders = (headers: Readonly<Record<string, unknown>>): void => {
      const value = headers["grpc-status"];
      if (value !== undefined) status = `${value}`;
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("error", (error: Error) => finish(`error: ${error.message}`));
    stream.on("end", () => {
      if (status !== "" && status !== "0") return finish(`error: grpc status ${status}`);
      const serving = decodeStatus(Buffer.concat(chunks));
      const name = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"][serving];
      finish(
        serving === servingStatus ? undefined : `service unhealthy (responded with "${name}")`,
      );
    });
    stream.end(encodeRequest(target.service));
  });
}
