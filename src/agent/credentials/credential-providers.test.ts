import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRuntime } from "../../runtime/real.ts";
import { type CredentialProviders, readProviders } from "./credential-providers.ts";
import { matchesImage } from "./image-match.ts";
import { parseProviders } from "./provider-config.ts";

const dir = mkdtempSync(join(tmpdir(), "k3-providers-"));
const config = join(dir, "config.yaml");
afterAll(() => rmSync(dir, { recursive: true }));

const providerText = (more = ""): string => `
kind: CredentialProviderConfig
apiVersion: kubelet.config.k8s.io/v1
providers:
- name: ask
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["*.reg.example", "docker.io/team"]
  defaultCacheDuration: 1h
  args: [--as, robot]
  env: [{name: PASSWORD, value: s3cret}]
${more}`;

/** Notes what it is asked, and answers for the registry. */
const program = `#!/bin/sh
read -r request
echo "$*: $request" >>${dir}/asked
cat <<END
{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
 "cacheKeyType": "Registry", "auth": {
  "*.reg.example": {"username": "all", "password": "no"},
  "a.reg.example/team": {"username": "team", "password": "$PASSWORD"},
  "docker.io": {"username": "hub", "password": "$PASSWORD"}}}
END
`;

let providers: CredentialProviders | undefined;
beforeAll(async () => {
  writeFileSync(config, providerText());
  writeFileSync(join(dir, "ask"), program, { mode: 0o755 });
  providers = await readProviders(createRuntime({ logLevel: "error" }), { config, binDir: dir });
});

const asked = (): readonly string[] => readFileSync(join(dir, "asked"), "utf8").trim().split("\n");

test("the program is asked once for a registry, and the longest pattern counts", async () => {
  expect(await providers?.credentials("a.reg.example/team/app:1")).toEqual([
    { username: "team", password: "s3cret", identityToken: "" },
  ]);
  expect((await providers?.credentials("a.reg.example/other:1"))?.[0]?.username).toBe("all");
  expect(asked()).toEqual([
    '--as robot: {"kind":"CredentialProviderRequest",' +
      '"apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"a.reg.example/team/app:1"}',
  ]);
  expect((await providers?.credentials("team/app"))?.[0]?.username).toBe("hub");
  expect(asked()).toHaveLength(2);
});

test("images that nobody is responsible for are asked of nobody", async () => {
  const before = asked().length;
  expect(await providers?.credentials("reg.example/app")).toEqual([]);
  expect(await providers?.credentials("other/app")).toEqual([]);
  expect(asked()).toHaveLength(before);
});

test("a provider that fails is passed over", async () => {
  writeFileSync(join(dir, "ask"), "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  expect(await providers?.credentials("b.reg.example/app")).toEqual([]);
});

test("matchesImage() compares hosts part by part, ports, and the beginning of paths", () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ["*.dkr.ecr.*.example", "1.dkr.ecr.eu.example/app", true],
    ["*.example", "a.b.example/app", false],
    ["reg.example:5000", "reg.example:5000/app", true],
    ["reg.example", "reg.example:5000/app", false],
    ["reg.example/team", "reg.example/team/app:1", true],
    ["reg.example/team", "reg.example/other", false],
    ["r?g.example", "rag.example/x", true],
    ["reg.example", "regxexample/x", false],
  ];
  for (const [pattern, image, fits] of rows) expect(matchesImage(pattern, image)).toBe(fits);
});

test("a configuration that cannot be used says which field and why", () => {
  const fails = (text: string, why: string) => expect(() => parseProviders(text)).toThrow(why);
  fails("kind: Pod", "it must be a CredentialProviderConfig");
  fails(providerText("- name: ask"), 'providers: Duplicate value: "ask"');
  fails(providerText("- name: a/b"), "providers[1].name: Invalid value");
  fails(providerText("- name: more"), "providers[1].matchImages: Required value");
  fails(
    providerText("  tokenAttributes: {}"),
    "providers[0].tokenAttributes: tokens of service accounts are not given to providers",
  );
});
