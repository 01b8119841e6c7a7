/** Parts that several kinds of resource.k8s.io share: selectors, opaque parameters, taints. */
import type { FieldError } from "../../api/resource-definition.ts";
import type {
  DeviceConfiguration,
  DeviceSelector,
  DeviceTaint,
  DeviceToleration,
} from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { labelValueErrors } from "../../lib/names.ts";
import { selectorProblem } from "../../schema/cel/device/selector.ts";
import { validateDriverName } from "../core/volume-source.ts";
import { forbidden, invalid, invalids, notSupported, required, tooLong } from "../field-errors.ts";
import { validateList } from "./lists.ts";
import { validateLabelKey } from "./names.ts";

const limits = {
  selectorsMax: 32,
  expressionBytesMax: 10 * 1024,
  parametersBytesMax: 10 * 1024,
} as const;

const effects = ["NoExecute", "NoSchedule", "None"];
const operators = ["Equal", "Exists"];

function validateExpression(expression: string, field: string): FieldError[] {
  if (Buffer.byteLength(expression) > limits.expressionBytesMax)
    return [tooLong(field, limits.expressionBytesMax)];
  const problem = selectorProblem(expression);
  switch (problem?.type) {
    case undefined:
      return [];
    case "invalid":
      return [invalid(field, expression, problem.detail)];
    case "too-complex":
      return [forbidden(field, "too complex, exceeds cost limit")];
  }
}

export function validateSelectors(
  selectors: DeepReadonly<DeviceSelector[]> | undefined,
  field: string,
): FieldError[] {
  return validateList(selectors, limits.selectorsMax, field, ({ cel }, at) =>
    cel === undefined
      ? [required(`${at}.cel`)]
      : validateExpression(cel.expression ?? "", `${at}.cel.expression`),
  );
}

/** Any JSON object; once it is stored its size is no longer asked. */
export function validateRawObject(
  value: unknown,
  field: string,
  bytesMax: number,
  isStored = false,
): FieldError[] {
  if (value === undefined || value === null) return [required(field)];
  if (!isStored && Buffer.byteLength(JSON.stringify(value)) > bytesMax)
    return [tooLong(field, bytesMax)];
  if (typeof value === "object" && !Array.isArray(value)) return [];
  return [invalid(field, "<value omitted>", "must be a valid JSON object")];
}

export function validateConfiguration(
  { opaque }: DeepReadonly<DeviceConfiguration>,
  field: string,
  isStored = false,
): FieldError[] {
  const at = `${field}.opaque`;
  if (opaque === undefined) return [required(at)];
  const { driver, parameters } = opaque;
  return [
    ...validateDriverName(driver, `${at}.driver`),
    ...validateRawObject(parameters, `${at}.parameters`, limits.parametersBytesMax, isStored),
  ];
}

function validateLabelValue(value: string, field: string): FieldError[] {
  return invalids(field, value, labelValueErrors(value));
}

export function validateTaint(taint: DeepReadonly<DeviceTaint>, field: string): FieldError[] {
  const { key, value, effect } = taint;
  const errors = validateLabelKey(key, `${field}.key`);
  if (value) errors.push(...validateLabelValue(value, `${field}.value`));
  if (!effect) errors.push(required(`${field}.effect`));
  else if (!effects.includes(effect)) errors.push(notSupported(`${field}.effect`, effect, effects));
  return errors;
}

export function validateToleration(
  toleration: DeepReadonly<DeviceToleration>,
  field: string,
): FieldError[] {
  const { key, operator, value = "", effect } = toleration;
  const errors = key ? validateLabelKey(key, `${field}.key`) : [];
  const at = `${field}.value`;
  if (!operator) errors.push(required(`${field}.operator`));
  else if (!operators.includes(operator))
    errors.push(notSupported(`${field}.operator`, operator, operators));
  else if (operator === "Equal") errors.push(...validateLabelValue(value, at));
  else if (value !== "") errors.push(invalid(at, value, "must be empty for operator `Exists`"));
  if (effect && !effects.includes(effect))
    errors.push(notSupported(`${field}.effect`, effect, effects));
  return errors;
}
