/** The images that tests run, made without a registry under the names that the suites ask for. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ImageOptions, imagesTar } from "../../scripts/images.ts";
import { prepareParts, RECIPES, type Recipe } from "./image-recipes.ts";
import { listImages, OUT, suiteVersion } from "./suite.ts";

/** Files of this folder that say what is in an image. */
export const SOURCES = ["images.ts", "image-recipes.ts", "debian-root.ts", "busybox.ts"];

/** The archive of the images that the conformance suite asks for; answers its path. */
export async function buildImages(): Promise<string> {
  return await buildArchive(`images-${suiteVersion()}`, SOURCES, async () => {
    const named: [string, Recipe][] = [];
    for (const name of await listImages()) {
      const recipe = RECIPES[/([^/]+):[^:/]+$/.exec(name)?.[1] ?? ""];
      if (recipe !== undefined) named.push([name, recipe]);
    }
    return named;
  });
}

/** Builds an archive once per its `title` and the files that tell what is in it; answers its path. */
export async function buildArchive(
  title: string,
  recipes: readonly string[],
  list: () => Promise<readonly (readonly [name: string, recipe: Recipe])[]>,
): Promise<string> {
  const sources = recipes.map((name) => readFileSync(join(import.meta.dir, name), "utf8"));
  const path = join(OUT, `${title}-${Bun.hash.crc32(sources.join("")).toString(16)}.tar`);
  if (existsSync(path)) return path;
  console.log("Building the test images");
  const isOld = (name: string): boolean => name.startsWith(`${title}-`) && name.endsWith(".tar");
  for (const old of readdirSync(OUT).filter(isOld)) rmSync(join(OUT, old));
  const named = await list();
  const parts = await prepareParts();
  const images = named.map(
    ([name, recipe]): ImageOptions => ({ ...recipe(parts), name, arch: parts.arch }),
  );
  await Bun.write(path, imagesTar(images));
  return path;
}
