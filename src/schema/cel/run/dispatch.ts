/** Finds the overload that values of unknown type are meant for. */
import type { Overload } from "../check/functions.ts";
import type { CelType } from "../check/types.ts";
import { CelFault } from "../fault.ts";
import { typeName } from "./values.ts";

/** @returns a function that throws a CelFault where no overload takes the arguments. */
export function dispatcher(
  name: string,
  overloads: readonly Overload[],
): (args: readonly unknown[]) => Overload {
  const [only, ...others] = overloads;
  return (args) => {
    const found =
      others.length === 0 && only !== undefined && fitsAll(args, only)
        ? only
        : overloads.find((one) => fitsAll(args, one));
    if (found !== undefined) return found;
    throw new CelFault(`no such overload: ${name}(${args.map(typeName).join(", ")})`);
  };
}

function fitsAll(args: readonly unknown[], { params }: Overload): boolean {
  if (args.length !== params.length) return false;
  for (let index = 0; index < args.length; index++) {
    if (!fits(args[index], params[index] as CelType)) return false;
  }
  return true;
}

/** Upstream lets lists of anything pass for lists of lists. */
function itemFits(item: unknown, type: CelType): boolean {
  return item === undefined || type.kind === "list" || fits(item, type);
}

function fits(value: unknown, type: CelType): boolean {
  switch (type.kind) {
    case "dyn":
    case "param":
      return true;
    case "list":
      return Array.isArray(value) && itemFits(value[0], type.params[0] as CelType);
    default:
      return typeName(value) === type.name;
  }
}
