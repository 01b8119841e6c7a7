/**
 * Makes `src/gen/`: TypeScript interfaces, the type table and the CRI messages, from the schema
 * that upstream publishes and from our own `src/proto/`.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { emitTable } from "./generate/emit-table.ts";
import { emitTypes } from "./generate/emit-types.ts";
import { type GoPackage, parseGo } from "./generate/go-tags.ts";
import { buildModel, type Model } from "./generate/model.ts";
import { parseProto } from "./generate/proto-parser.ts";

const root = join(import.meta.dir, "..");
const sources = join(root, "build/schema-src/usr/share/gocode/src/k8s.io");
const output = join(root, "src/gen");

const packages = [
  "apimachinery/pkg/apis/meta/v1",
  "api/admission/v1",
  "api/admissionregistration/v1",
  "api/apidiscovery/v2",
  "api/apps/v1",
  "api/authentication/v1",
  "api/authorization/v1",
  "api/autoscaling/v1",
  "api/autoscaling/v2",
  "api/batch/v1",
  "api/certificates/v1",
  "api/coordination/v1",
  "api/core/v1",
  "api/discovery/v1",
  "api/events/v1",
  "api/flowcontrol/v1",
  "api/networking/v1",
  "api/node/v1",
  "api/policy/v1",
  "api/rbac/v1",
  "api/resource/v1",
  "api/scheduling/v1",
  "api/storage/v1",
  "metrics/pkg/apis/metrics/v1beta1",
];

/** Packages of which only scalars are used. */
const scalarPackages = [
  "apimachinery/pkg/api/resource",
  "apimachinery/pkg/runtime",
  "apimachinery/pkg/util/intstr",
];

/** Services of the kubelet besides CRI. */
const serviceProtos = [
  "csi.proto",
  "deviceplugin.proto",
  "dra-health.proto",
  "dra-v1.proto",
  "dra-v1beta1.proto",
  "pluginregistration.proto",
  "podresources.proto",
];
const ownProtos = ["apiextensions", "apiregistration", "meta-table"];

/** Downloads and unpacks the schema packages when they are not there yet. */
function ensureSources(): void {
  if (existsSync(join(sources, "cri-api")) && existsSync(join(sources, "api"))) return;
  run(["bun", join(root, "scripts/deps.ts"), "schema"]);
}

function run(command: readonly string[]): void {
  const done = Bun.spawnSync([...command], { cwd: root, stdout: "inherit", stderr: "inherit" });
  if (done.exitCode !== 0) throw new Error(`${command[0]} failed with exit code ${done.exitCode}`);
}

function isGoSource(name: string): boolean {
  return name.endsWith(".go") && !/(_test|^zz_generated.*|generated\.pb)\.go$/.test(name);
}

function readGo(path: string, core?: GoPackage): GoPackage {
  const folder = join(sources, path);
  const files = readdirSync(folder).filter(isGoSource);
  return parseGo(
    files.map((name) => readFileSync(join(folder, name), "utf8")),
    core,
  );
}

function readPackage(path: string, core: GoPackage): Model {
  const proto = readFileSync(join(sources, path, "generated.proto"), "utf8");
  return buildModel(parseProto(proto, path), readGo(path, core));
}

function readOwn(name: string): Model {
  const path = join(root, "src/proto", `${name}.proto`);
  return buildModel(parseProto(readFileSync(path, "utf8"), path), parseGo([]));
}

/** Models of the same Go package (ours and upstream's) become one file. */
function joinModels(models: readonly Model[]): readonly Model[] {
  const byPrefix = new Map<string, Model>();
  for (const model of models) {
    const known = byPrefix.get(model.prefix);
    const messages = [...(known?.messages ?? []), ...model.messages];
    byPrefix.set(model.prefix, { ...model, messages });
  }
  return [...byPrefix.values()];
}

function generateTypes(): void {
  const core = readGo("api/core/v1");
  const upstream = packages.map((path) => readPackage(path, core));
  const models = joinModels([...upstream, ...ownProtos.map(readOwn)]);
  const files = new Map(models.map((model) => [model.prefix, model.file]));
  for (const model of models) {
    writeFileSync(join(output, `${model.file}.ts`), emitTypes(model, files));
  }
  const messages = models.flatMap((model) => model.messages);
  const scalars = [...upstream, ...scalarPackages.map((path) => readPackage(path, core))];
  const scalarDocs = new Map(scalars.flatMap((model) => [...model.scalarDocs]));
  writeFileSync(join(output, "table.ts"), emitTable(messages, scalarDocs));
  console.log(`${messages.length} types of ${models.length} packages`);
}

/** gRPC services: protoc-gen-es through buf, offline; CRI's proto loses its Go options first. */
function generateServices(): void {
  const work = join(root, "build/cri-proto");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const proto = readFileSync(join(sources, "cri-api/pkg/apis/runtime/v1/api.proto"), "utf8")
    .replace(/^import "github.com\/gogo.*$/gm, "")
    .replace(/^option \(gogoproto.*$/gm, "")
    .replace(/\s*\[\(gogoproto[^\]]*\]/g, "");
  writeFileSync(join(work, "api.proto"), proto);
  for (const name of serviceProtos) {
    cpSync(join(root, "src/proto", name), join(work, name));
  }
  writeFileSync(join(work, "buf.yaml"), "version: v2\n");
  const plugin = join(root, "node_modules/.bin/protoc-gen-es");
  const template = {
    version: "v2",
    plugins: [
      { local: plugin, out: join(output, "cri"), opt: ["target=ts", "import_extension=ts"] },
    ],
  };
  const bufTemplate = join(work, "buf.gen.json");
  writeFileSync(bufTemplate, JSON.stringify(template));
  run([join(root, "node_modules/.bin/buf"), "generate", work, "--template", bufTemplate]);
}

ensureSources();
mkdirSync(output, { recursive: true });
generateTypes();
generateServices();
