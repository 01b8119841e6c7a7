/** What an overlay is told: by the cluster for every node, by a node for itself. */
import type { FlannelBackend } from "./backends.ts";

/** How the pods of all nodes reach each other: the same on every node. */
export interface FlannelSettings {
  readonly backend: FlannelBackend;
  readonly masqueradesIpv6: boolean;
  /** Nodes reach each other at their external addresses. */
  readonly usesExternalIp: boolean;
}

/** A node's own part of it. */
export interface OverlayFiles {
  /** The link to other nodes; undefined: that of the node's address. */
  readonly iface: string | undefined;
  /** A net-conf.json in place of the generated one. */
  readonly confFile: string | undefined;
  /** A CNI configuration in place of the generated one. */
  readonly cniConfFile: string | undefined;
}
