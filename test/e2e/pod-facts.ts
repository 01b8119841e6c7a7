/** What tests of faults ask of pods: whether they are ready, and what is left of those gone. */
import type { Cluster } from "./cluster.ts";
import { leftovers } from "./leftovers.ts";

export interface PodFacts {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly hostNetwork?: boolean };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly containerID?: string;
      readonly restartCount: number;
      readonly state: {
        readonly running?: { readonly startedAt: string };
        readonly terminated?: { readonly reason: string };
      };
    }[];
  };
}

export const isReady = ({ status }: PodFacts): boolean =>
  status.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;

/** The pods of the namespace `default`, all or those of a label selector. */
export async function podFacts(cluster: Cluster, selector = ""): Promise<readonly PodFacts[]> {
  const flags = selector === "" ? "" : ` -l ${selector}`;
  return JSON.parse(await cluster.run(`get pods -o json${flags}`)).items;
}

/** What is still left of pods that are gone after `limitMs`, one sentence each; [] when nothing. */
export async function leftoversAfter(
  cluster: Cluster,
  limitMs: number,
): Promise<readonly string[]> {
  let left: readonly string[] = [];
  const isClean = async (): Promise<boolean> => {
    const { items } = JSON.parse(await cluster.run("get pods -A -o json"));
    const claims = (items as readonly PodFacts[]).map(({ metadata, spec }) => ({
      uid: metadata.uid,
      hostNetwork: spec.hostNetwork === true,
    }));
    left = await leftovers(claims).catch((error: unknown) => [String(error)]);
    return left.length === 0;
  };
  await cluster.until("nothing is left over", isClean, limitMs).catch((error: unknown) => {
    // Without a sentence to tell, the question itself has failed.
    if (left.length === 0) throw error;
  });
  return left;
}
