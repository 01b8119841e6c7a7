/** The list of everything inside a binary, as SPDX 2.3. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Arch, ROOT } from "./deps.ts";
import type { BuiltPayload } from "./payload.ts";

interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

/** Runtime packages out of package.json, and what they depend on, as installed. */
async function npmPackages(): Promise<NpmPackage[]> {
  const read = async (dir: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(join(dir, "package.json"), "utf8"));
  const found = new Map<string, NpmPackage>();
  const names = Object.keys(((await read(ROOT)).dependencies ?? {}) as object);
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (found.has(name)) continue;
    const about = await read(join(ROOT, "node_modules", name)).catch(() => undefined);
    if (about === undefined) continue;
    const license = typeof about.license === "string" ? about.license : "NOASSERTION";
    found.set(name, { name, version: String(about.version), license });
    names.push(...Object.keys((about.dependencies ?? {}) as object));
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function identifier(...parts: readonly string[]): string {
  return `SPDXRef-${parts.join("-").replaceAll(/[^A-Za-z0-9.-]/g, "-")}`;
}

/** The document for one architecture. */
export async function spdx(arch: Arch, payload: BuiltPayload): Promise<Record<string, unknown>> {
  const about = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
    version: string;
    license: string;
  };
  const common = { downloadLocation: "NOASSERTION", filesAnalyzed: false };
  const purl = (locator: string): object[] => [
    { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: locator },
  ];
  const contents = [
    {
      SPDXID: identifier("bun"),
      name: "bun",
      versionInfo: Bun.version,
      ...common,
      licenseDeclared: "MIT",
      externalRefs: purl(`pkg:npm/bun@${Bun.version}`),
    },
    ...payload.packages.map((deb) => ({
      SPDXID: identifier("deb", deb.name),
      name: deb.name,
      versionInfo: deb.version,
      ...common,
      licenseDeclared: "NOASSERTION",
      checksums: [{ algorithm: "SHA256", checksumValue: deb.sha256 }],
      externalRefs: purl(
        `pkg:deb/debian/${deb.name}@${encodeURIComponent(deb.version)}?arch=${deb.arch}`,
      ),
    })),
    ...(await npmPackages()).map((npm) => ({
      SPDXID: identifier("npm", npm.name),
      name: npm.name,
      versionInfo: npm.version,
      ...common,
      licenseDeclared: npm.license,
      externalRefs: purl(`pkg:npm/${npm.name.replace("@", "%40")}@${npm.version}`),
    })),
  ];
  const k3 = identifier("k3");
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `k3-${arch}`,
    // One name for one content: the payload's hash and the version decide it.
    documentNamespace: `urn:k3:${about.version}:${arch}:${payload.sha256}`,
    creationInfo: { created: "1970-01-01T00:00:00Z", creators: ["Tool: k3-build"] },
    packages: [
      {
        SPDXID: k3,
        name: "k3",
        versionInfo: about.version,
        ...common,
        licenseDeclared: about.license,
      },
      ...contents,
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: k3 },
      ...contents.map((item) => ({
        spdxElementId: k3,
        relationshipType: "CONTAINS",
        relatedSpdxElement: item.SPDXID,
      })),
    ],
  };
}
