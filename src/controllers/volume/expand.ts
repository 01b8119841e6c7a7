/** Tells the owners of claims that want to grow who has to make their volume grow. */
import { persistentVolumeClaims, persistentVolumes } from "../../client/resources.ts";
import { compareQuantity } from "../../lib/quantity.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

/** Creates the expand controller. */
export function createExpandController(context: ControllerContext): Controller {
  const claims = context.live.of(persistentVolumeClaims);
  const volumes = context.live.of(persistentVolumes);
  return {
    name: "persistentvolume-expander",
    concurrent: 5,
    watches: [watchRule(persistentVolumeClaims, ({ now }) => [now.key])],
    async reconcile(key) {
      const claim = claims.get(key)?.object;
      const volume = volumes.get(claim?.spec.volumeName ?? "")?.object;
      if (claim?.status?.phase !== "Bound" || volume === undefined) return "done";
      const asked = claim.spec.resources?.requests?.storage ?? "0";
      const has = claim.status.capacity?.storage ?? "0";
      if (compareQuantity(asked, has) <= 0) return "done";
      const message = "waiting for an external controller to expand this PVC";
      context.events.event(claim, "Normal", "ExternalExpanding", message);
      return "done";
    },
  };
}
