/** What the test images consist of. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../scripts/apt.ts";
import { type Arch, BUILD, extractDeb, fetchDebs } from "../../scripts/deps.ts";
import {
  appletsOf,
  type Blob,
  busyboxRoot,
  hostArch,
  type ImageOptions,
  layerOf,
} from "../../scripts/images.ts";
import type { TarEntry } from "../../src/runtime/tar.ts";
import { buildBusybox } from "./busybox.ts";
import { debianRoot } from "./debian-root.ts";
import { program } from "./suite.ts";

/** What agnhost's tests call in its image. */
const TOOLS = [
  "bash",
  "bind9-dnsutils",
  "coreutils",
  "curl",
  "dash",
  "findutils",
  "grep",
  "hostname",
  "iperf",
  "iproute2",
  "libc-bin",
  "mawk",
  "net-tools",
  "netcat-openbsd",
  "procps",
  "sed",
  "tar",
  "util-linux",
];

const text = (path: string, content: string): TarEntry => ({
  path,
  type: "file",
  mode: 0o644,
  data: new TextEncoder().encode(content),
});
const copy = (path: string, from: string, mode = 0o755): TarEntry => ({
  path,
  type: "file",
  mode,
  data: readFileSync(from),
});
export const folder = (path: string, mode = 0o755): TarEntry => ({ path, type: "dir", mode });

/** Users and groups that tests expect in images. */
export const USERS: readonly TarEntry[] = [
  text(
    "etc/passwd",
    [
      "root:x:0:0:root:/root:/bin/sh",
      "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin",
      "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh",
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
      "",
    ].join("\n"),
  ),
  text(
    "etc/group",
    [
      "root:x:0:",
      "www-data:x:33:",
      "user-defined-in-image:x:1000:",
      "group-defined-in-image:x:50000:user-defined-in-image",
      "nogroup:x:65534:",
      "",
    ].join("\n"),
  ),
  folder("tmp", 0o1777),
];

/** Debian's nginx without what its maintainer scripts set up: one site of plain files. */
const nginxConf = (port: number): string =>
  [
    "worker_processes 1;",
    "pid /var/run/nginx.pid;",
    "error_log /dev/stderr;",
    "events {}",
    "http {",
    "  include /etc/nginx/mime.types;",
    "  access_log /dev/stdout;",
    `  server { listen ${port}; root /usr/share/nginx/html; }`,
    "}",
    "",
  ].join("\n");

export interface Parts {
  readonly arch: Arch;
  readonly tools: Blob;
  readonly agnhost: readonly TarEntry[];
  readonly busybox: readonly TarEntry[];
  readonly pause: TarEntry;
  readonly etcd: Blob;
  readonly nginx: Blob;
  readonly apache: Blob;
  /** The folder of the module's image sources. */
  readonly sources: string;
}

/** What an image is made of, beside its name. */
export type Recipe = (parts: Parts) => Omit<ImageOptions, "name" | "arch">;

const agnhost: Recipe = (parts) => ({
  below: [parts.tools],
  files: parts.agnhost,
  entrypoint: ["/agnhost"],
  command: ["pause"],
});

const picture =
  (name: string): Recipe =>
  (parts) => ({
    below: [parts.tools, layerOf(parts.agnhost)],
    files: [
      ...["data.json", `${name}.jpg`].map((file) =>
        copy(file, join(parts.sources, name, "html", file), 0o644),
      ),
      // A test reads the name of the distribution that the published image is made of.
      text("etc/os-release", 'NAME="Alpine Linux"\nID=alpine\n'),
    ],
    entrypoint: ["/agnhost"],
    command: ["test-webserver"],
  });

/** The program itself, which acts by the name it is called. */
export function busyboxOf({ busybox }: Parts): TarEntry {
  const file = busybox.find(({ path }) => path === "bin/busybox");
  if (file === undefined) throw new Error("The root of busybox is without it.");
  return file;
}

export const nginxAt =
  (port: number): Recipe =>
  (parts) => ({
    below: [parts.tools, parts.nginx],
    files: [
      text("etc/nginx/nginx.conf", nginxConf(port)),
      folder("var/run"),
      // A test of process namespaces looks for words in a file of zero bytes.
      { ...busyboxOf(parts), path: "usr/bin/grep" },
    ],
    command: ["nginx", "-g", "daemon off;"],
  });

/** Debian's Apache under the name that upstream gives it. */
const APACHE_CONF = [
  ...["mpm_event", "authz_core", "dir"].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  ),
  "Listen 80",
  "ServerName localhost",
  "PidFile /var/run/httpd.pid",
  "ErrorLog /proc/self/fd/2",
  "LogLevel notice",
  "DocumentRoot /var/www",
  "",
].join("\n");

const httpd: Recipe = (parts) => ({
  below: [parts.tools, parts.apache],
  files: [
    text("etc/apache2/apache2.conf", APACHE_CONF),
    folder("var/run"),
    folder("var/www"),
    text("var/www/index.html", "It works!\n"),
    { path: "usr/bin/httpd", type: "symlink", mode: 0o777, target: "/usr/sbin/apache2" },
  ],
  command: ["httpd", "-D", "FOREGROUND"],
});

/** By the last part of the image's name. */
export const RECIPES: Readonly<Record<string, Recipe>> = {
  agnhost,
  busybox: (parts) => ({ files: parts.busybox, command: ["sh"] }),
  nonroot: (parts) => ({ files: parts.busybox, command: ["sh"], user: "1234" }),
  nonewprivs: (parts) => ({
    below: [layerOf(parts.busybox)],
    files: [
      folder("usr/local"),
      folder("usr/local/bin"),
      copy("usr/local/bin/nnp", program("nnp"), 0o6755),
    ],
    command: ["nnp"],
  }),
  "sample-apiserver": () => ({
    files: [copy("sample-apiserver", program("sample-apiserver"))],
    entrypoint: ["/sample-apiserver"],
  }),
  etcd: (parts) => ({
    below: [parts.etcd],
    files: [
      folder("usr/local"),
      folder("usr/local/bin"),
      { path: "usr/local/bin/etcd", type: "symlink", mode: 0o777, target: "/usr/bin/etcd" },
    ],
    command: ["etcd"],
  }),
  pause: (parts) => ({ files: [parts.pause], entrypoint: ["/pause", "-P"] }),
  "glibc-dns-testing": (parts) => ({ below: [parts.tools], files: [], command: ["bash"] }),
  kitten: picture("kitten"),
  nautilus: picture("nautilus"),
  nginx: nginxAt(80),
  httpd,
};

/** Fetches and builds what the recipes put together, for this machine. */
export async function prepareParts(): Promise<Parts> {
  const module = await mustRun(
    ["go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"],
    "Run scripts/conformance build first.",
    { cwd: import.meta.dir },
  );
  const arch = hostArch();
  const busybox = await buildBusybox();
  const sources = join(module.trim(), "test/images");
  const porter = join(sources, "agnhost/porter");
  return {
    arch,
    sources,
    tools: layerOf([...(await debianRoot(TOOLS, arch)), ...USERS]),
    agnhost: [
      copy("agnhost", program("agnhost")),
      { path: "agnhost-2", type: "symlink", mode: 0o777, target: "agnhost" },
      copy("localhost.crt", join(porter, "localhost.crt"), 0o644),
      copy("localhost.key", join(porter, "localhost.key"), 0o600),
      folder("uploads"),
    ],
    busybox: busyboxRoot(readFileSync(busybox), await appletsOf(busybox)),
    pause: copy("pause", await catatonit(arch)),
    etcd: await debianLayer("etcd-server", arch),
    nginx: await debianLayer("nginx", arch),
    apache: await debianLayer("apache2-bin", arch),
  };
}

async function debianLayer(name: string, arch: Arch): Promise<Blob> {
  return layerOf([...(await debianRoot([name], arch, ["systemd"])), ...USERS]);
}

async function catatonit(arch: Arch): Promise<string> {
  const deb = (await fetchDebs(arch)).find(({ name }) => name === "catatonit");
  if (deb === undefined) throw new Error("The lock has no catatonit: bun run deps update");
  const dir = join(BUILD, "conformance/catatonit");
  mkdirSync(dir, { recursive: true });
  await extractDeb(deb.path, dir);
  return join(dir, "usr/bin/catatonit");
}
