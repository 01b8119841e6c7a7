/** The secret by which a machine keeps its node's name, in K3s' file. */
import type { Runtime } from "../../runtime/runtime.ts";

const folder = "/etc/rancher/node";
const file = `${folder}/password`;

/** The one on disk, or a new one: 16 random bytes in hex. */
export async function ensureNodePassword({ files, random }: Runtime): Promise<string> {
  const known = (await files.readText(file))?.trim();
  if (known !== undefined && known !== "") return known;
  const fresh = Buffer.from(random.bytes(16)).toString("hex");
  await files.mkdir(folder, 0o755);
  await files.writeAtomic(file, `${fresh}\n`, 0o600);
  return fresh;
}
