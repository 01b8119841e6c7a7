/** Facts of the machine and the person that runs us. */
export { homedir, hostname, networkInterfaces } from "node:os";

/** How this program is started again: by its file, or by Bun and a working tree. */
export function ownCommand(): readonly [string, ...string[]] {
  const isBuilt = Bun.main.startsWith("/$bunfs/");
  return isBuilt ? [process.execPath] : [process.execPath, Bun.main];
}
