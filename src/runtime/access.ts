/** Asks the kernel what this process may do with a path. */
import { accessSync, constants } from "node:fs";

export function access(path: string, right: "read" | "execute"): boolean {
  try {
    accessSync(path, right === "read" ? constants.R_OK : constants.X_OK);
    return true;
  } catch {
    return false; // absent and forbidden are the same to who asks
  }
}

/** True when something is there, though we may not read it. */
export function exists(path: string): boolean {
  try {
    accessSync(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
