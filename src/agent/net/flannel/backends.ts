/** The ways in which packets of pods get to other nodes. */

export const flannelBackends = ["vxlan", "host-gw", "wireguard-native", "none"] as const;
export type FlannelBackend = (typeof flannelBackends)[number];

export function isFlannelBackend(text: string): text is FlannelBackend {
  return flannelBackends.some((one) => one === text);
}

/** Links that overlays have; killall takes them away by these names. */
export const vxlanLinkPrefix = "flannel.";
export const wireguardLink = "flannel-wg";
/** By this mark in the kernel's routing table k3 knows its own routes (`ip route ... proto 75`). */
export const routeProtocol = "75";
