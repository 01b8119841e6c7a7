/** The rules of device classes. */
import type { FieldError } from "../../api/resource-definition.ts";
import type { DeviceClassSpec } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { isExtendedResourceName } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { invalid } from "../field-errors.ts";
import { claimLimits } from "./claim.ts";
import { validateConfiguration, validateSelectors } from "./configuration.ts";
import { validateList } from "./lists.ts";

/** The errors of a class; configuration that was there before may be of any size. */
export function validateDeviceClass(
  spec: DeepReadonly<DeviceClassSpec> | undefined,
  old: DeepReadonly<DeviceClassSpec> | undefined,
): FieldError[] {
  const { selectors, config, extendedResourceName: name } = spec ?? {};
  const isStored = old !== undefined && semanticEqual(config, old.config);
  const field = "spec.extendedResourceName";
  return [
    ...validateSelectors(selectors, "spec.selectors"),
    ...validateList(config, claimLimits.configMax, "spec.config", (one, at) =>
      validateConfiguration(one, at, isStored),
    ),
    ...(name === undefined || isExtendedResourceName(name)
      ? []
      : [invalid(field, name, "must be a valid extended resource name")]),
  ];
}
