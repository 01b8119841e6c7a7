/** The types of hostPath volumes: what must be there, and what is made. */
import type { FileKind, Host } from "../../runtime/host.ts";
import { VolumeError } from "./volume-payload.ts";

const wanted: Readonly<Record<string, { readonly kind: FileKind; readonly word: string }>> = {
  Directory: { kind: "directory", word: "directory" },
  DirectoryOrCreate: { kind: "directory", word: "directory" },
  File: { kind: "file", word: "file" },
  FileOrCreate: { kind: "file", word: "file" },
  Socket: { kind: "socket", word: "socket file" },
  CharDevice: { kind: "char", word: "character device" },
  BlockDevice: { kind: "block", word: "block device" },
};

export async function checkHostPath(
  host: Host,
  source: { readonly path: string; readonly type?: string },
): Promise<void> {
  const { path, type = "" } = source;
  const row = wanted[type];
  if (type === "") return;
  if (row === undefined) throw new VolumeError(`hostPath type "${type}" is not supported`);
  const found = await host.stat(path, true);
  if (found === undefined && type === "DirectoryOrCreate") return await host.mkdir(path, 0o755);
  if (found === undefined && type === "FileOrCreate") return await host.write(path, "", 0o644);
  if (found?.kind !== row.kind) {
    throw new VolumeError(`hostPath type check failed: ${path} is not a ${row.word}`);
  }
}
