import { expect, test } from "bun:test";
import { SecurityProfile_ProfileType } from "../../gen/cri/api_pb.ts";
import { sandboxSecurity } from "./security.ts";
import type { Pod } from "./types.ts";

const profile = "/etc/pause.json";
const users = { mode: 0 } as Parameters<typeof sandboxSecurity>[2];
const podOf = (spec: object): Pod =>
  ({ metadata: { name: "a" }, spec: { containers: [], ...spec } }) as unknown as Pod;

test("the pause process has a profile of its own, whatever the containers are to have", () => {
  const own = { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: profile };
  const strict = { seccompProfile: { type: "Localhost", localhostProfile: "strict.json" } };
  expect(sandboxSecurity(podOf({}), profile, users).seccomp).toEqual(own);
  expect(sandboxSecurity(podOf({ securityContext: strict }), profile, users).seccomp).toEqual(own);
});

test("under another runtime the pause process has that runtime's profile", () => {
  const usual = { profileType: SecurityProfile_ProfileType.RuntimeDefault };
  const other = podOf({ runtimeClassName: "gvisor" });
  expect(sandboxSecurity(other, profile, users).seccomp).toEqual(usual);
  expect(sandboxSecurity(podOf({}), undefined, users).seccomp).toEqual(usual);
});
