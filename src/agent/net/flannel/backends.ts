/** The ways in which packets of pods get to other nodes. */

import type { IpFamily } from "../../../lib/ip-range.ts";

export const flannelBackends = ["vxlan", "host-gw", "wireguard-native", "none"] as const;
export type FlannelBackend = (typeof flannelBackends)[number];

export function isFlannelBackend(text: string): text is FlannelBackend {
  return flannelBackends.some((one) => one === text);
}

/** Links that overlays have, by flannel's names; killall takes them away by these. */
export function vxlanLink(family: IpFamily, vni: number): string {
  return family === "IPv4" ? `flannel.${vni}` : `flannel-v6.${vni}`;
}
export function wireguardLink(family: IpFamily): string {
  return family === "IPv4" ? "flannel-wg" : "flannel-wg-v6";
}
/** By this mark in the kernel's routing table k3 knows its own routes (`ip route ... proto 75`). */
export const routeProtocol = "75";
