/** How built-in groups rank among all APIs: upstream's numbers, as APIServices show them. */
interface Priority {
  readonly group: number;
  readonly version: number;
}

const rows: Readonly<Record<string, readonly [group: number, version: number]>> = {
  "/v1": [18_000, 1],
  "apps/v1": [17_800, 15],
  "events.k8s.io/v1": [17_750, 15],
  "authentication.k8s.io/v1": [17_700, 15],
  "authorization.k8s.io/v1": [17_600, 15],
  "autoscaling/v1": [17_500, 15],
  "autoscaling/v2": [17_500, 30],
  "batch/v1": [17_400, 15],
  "certificates.k8s.io/v1": [17_300, 15],
  "networking.k8s.io/v1": [17_200, 15],
  "policy/v1": [17_100, 15],
  "rbac.authorization.k8s.io/v1": [17_000, 15],
  "storage.k8s.io/v1": [16_800, 15],
  "apiextensions.k8s.io/v1": [16_700, 15],
  "admissionregistration.k8s.io/v1": [16_700, 15],
  "scheduling.k8s.io/v1": [16_600, 15],
  "coordination.k8s.io/v1": [16_500, 15],
  "node.k8s.io/v1": [16_300, 15],
  "discovery.k8s.io/v1": [16_200, 15],
  "flowcontrol.apiserver.k8s.io/v1": [16_100, 21],
  "resource.k8s.io/v1": [15_900, 15],
};

/** Custom resources rank below all built-in groups. */
export function priorityOf(group: string, version: string, isCustom: boolean): Priority {
  const [first, second] = rows[`${group}/${version}`] ?? (isCustom ? [1000, 100] : [1000, 15]);
  return { group: first, version: second };
}
