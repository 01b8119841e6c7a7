/** Port 10250: the kubelet's API for whoever the node lets in. */

import type { KubeletApp } from "../agent/kubelet-api.ts";
import { KubeletAuth } from "../agent/kubelet-auth.ts";
import { refuse, upgradeHead } from "../agent/streaming/streams.ts";
import type { Client } from "../client/client.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { type DoorCertificates, type FrontDoor, startFrontDoor } from "./front-door.ts";

export interface KubeletDoorOptions {
  readonly runtime: Runtime;
  readonly scope: Scope;
  readonly client: Client;
  readonly app: KubeletApp;
  readonly nodeName: string;
  readonly port: number;
  readonly host: string | undefined;
  readonly certificates: DoorCertificates;
}

export function startKubeletDoor(options: KubeletDoorOptions): Promise<FrontDoor> {
  const { app, client, runtime, nodeName } = options;
  const auth = new KubeletAuth({ client, clock: runtime.clock, nodeName });
  return startFrontDoor({
    ...options,
    fetch: async (asked, { certificate }) => {
      const request = asked.toRequest();
      const refusal = await auth.refusal(request, certificate);
      if (refusal === undefined) return await app.fetch(request);
      return new Response(refusal.message, { status: refusal.status });
    },
    upgrade: async ({ request, peer, stream }) => {
      const refusal = await auth.refusal(request, peer.certificate);
      if (refusal === undefined) return await app.upgrade(upgradeHead(request), stream);
      await refuse(stream, refusal.status, refusal.message);
    },
  });
}
