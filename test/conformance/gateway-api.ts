/** The Gateway API's own conformance tests, against the GatewayClass that k3 serves. */
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hostArch, imagesTar } from "../../scripts/images.ts";
import { supportedFeatures } from "../../src/agent/ingress/gateway-api/write-status.ts";
import { OUT, pinned, program } from "./suite.ts";

const MODULE = join(import.meta.dir, "gateway-api");

/** What the tests' manifests name. The second one is asked for nothing but to run. */
const images: readonly string[] = [
  "gcr.io/k8s-staging-gateway-api/echo-basic:v20240412-v1.0.0-394-g40c666fd",
  "registry.k8s.io/coredns/coredns:v1.12.2",
];

export interface GatewayTest {
  readonly name: string;
  readonly outcome: "PASS" | "FAIL" | "SKIP";
}

/** Builds the archive of the images; answers its path. */
export async function buildGatewayImages(): Promise<string> {
  const path = join(OUT, "gateway-api.tar");
  const data = readFileSync(program("echo-basic"));
  const echo = { path: "echo-basic", type: "file", mode: 0o755, data } as const;
  const rest = { arch: hostArch(), files: [echo], entrypoint: ["/echo-basic"] } as const;
  await Bun.write(path, imagesTar(images.map((name) => ({ ...rest, name }))));
  return path;
}

/** Runs all tests, or the one that is named, and leaves their output in `dir`. */
export async function runGatewayTests(
  dir: string,
  kubeconfig: string,
  only: string | undefined,
): Promise<readonly GatewayTest[]> {
  const path = join(dir, "gateway-api.log");
  const log = openSync(path, "w");
  const child = Bun.spawn(
    [
      program("gateway.test"),
      "-test.v",
      "-test.run=TestConformance",
      "-gateway-class=traefik",
      "-conformance-profiles=GATEWAY-HTTP,GATEWAY-GRPC",
      `-supported-features=${supportedFeatures.join(",")}`,
      // k3's definitions are its own, which no checksum knows.
      "-allow-crds-mismatch",
      ...(only === undefined ? [] : [`-run-test=${only}`]),
    ],
    { env: { ...process.env, KUBECONFIG: kubeconfig }, stdout: log, stderr: log, cwd: dir },
  );
  await child.exited;
  const lines = readFileSync(path, "utf8").matchAll(/^ {4}--- (\w+): TestConformance\/(\w+) /gm);
  return Array.from(lines, ([, outcome, name = ""]) => ({
    name,
    outcome: outcome as GatewayTest["outcome"],
  }));
}

/** docs/gateway-api-conformance.md. */
export function renderGatewayTests(tests: readonly GatewayTest[]): string {
  const of = (outcome: GatewayTest["outcome"]): readonly string[] =>
    tests.filter((one) => one.outcome === outcome).map(({ name }) => name);
  const list = (title: string, names: readonly string[]): string[] =>
    names.length === 0
      ? []
      : ["", `## ${title}`, "", ...names.toSorted().map((name) => `- ${name}`)];
  const version = pinned(MODULE, "sigs.k8s.io/gateway-api");
  const ran = of("PASS").length + of("FAIL").length;
  const lines = [
    "# Conformance to the Gateway API",
    "",
    `The score of the Gateway API's conformance tests v${version}, unmodified, profiles GATEWAY-HTTP and GATEWAY-GRPC. Written by`,
    "`scripts/gateway-api --record`; see [test/conformance](../test/conformance/README.md).",
    "",
    `${of("PASS").length} of ${ran} tests pass; ${of("SKIP").length} more are of features that k3 does not claim.`,
    ...list("Failing", of("FAIL")),
    ...list("Passing", of("PASS")),
    ...list("Not claimed", of("SKIP")),
  ];
  return `${lines.join("\n")}\n`;
}
