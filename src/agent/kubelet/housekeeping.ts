/** Removes cgroups and log directories of pods that neither the API nor the runtime knows. */
import { podsInCgroups, removePodCgroup } from "./cgroups.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { orphanPod } from "./pod-record.ts";

export class Housekeeping {
  readonly #context: KubeletContext;
  /** Unknown at the last look already: a pod that comes or goes right now is spared. */
  #suspects: ReadonlySet<string> = new Set();

  constructor(context: KubeletContext) {
    this.#context = context;
  }

  async look(isKnown: (uid: string) => boolean): Promise<void> {
    const { host, logRoot, cgroups } = this.#context;
    const logs = new Map(
      (await host.list(logRoot)).map((name) => [name.slice(name.lastIndexOf("_") + 1), name]),
    );
    const inCgroups = await podsInCgroups(cgroups);
    const unknown = [...new Set([...logs.keys(), ...inCgroups])].filter((uid) => !isKnown(uid));
    for (const uid of unknown) {
      if (!this.#suspects.has(uid)) continue;
      const directory = logs.get(uid);
      if (directory !== undefined) await host.remove(`${logRoot}/${directory}`);
      await removePodCgroup(cgroups, orphanPod({ uid, namespace: "", name: "" }));
    }
    this.#suspects = new Set(unknown);
  }
}
