/** What the build writes into the payload for the unpacker. */

/** Name of the manifest; it is the first file of the tar. */
export const MANIFEST_FILE = "manifest.json";

/** Bytes reserved in every program for each path, the closing NUL included. */
export const PATH_SIZE = 256;

export interface ManifestFile {
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  /** Of the file as packed, before paths are written into it. */
  readonly sha256: string;
  /** Where the loader's path belongs; absent in libraries and static programs. */
  readonly interpreterOffset?: number;
  /** Where the path of the libraries belongs; present with the loader's. */
  readonly libraryPathOffset?: number;
}

export interface Manifest {
  readonly arch: string;
  /** File name of the loader in lib/. */
  readonly loader: string;
  readonly files: readonly ManifestFile[];
}
