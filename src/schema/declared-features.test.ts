import { expect, test } from "bun:test";
import type { Container, PodSpec } from "../gen/core-v1.ts";
import { featuresToChange, featuresToRun, missingFeatures } from "./declared-features.ts";

const spec = (more: Partial<PodSpec> = {}, container: Partial<Container> = {}): PodSpec => ({
  containers: [{ name: "c", image: "i", ...container }],
  ...more,
});
const init = (cpu: string, more: Partial<Container> = {}): Partial<PodSpec> => ({
  initContainers: [{ name: "i", resources: { requests: { cpu } }, ...more } as Container],
});

test("few pods need a feature to run", () => {
  const rules = (action: string) => ({ restartPolicyRules: [{ action }] }) as Partial<Container>;
  expect(featuresToRun(spec({ hostNetwork: true }, rules("Restart")))).toEqual([]);
  expect(featuresToRun(spec({ hostUsers: false }))).toEqual([]);
  expect(featuresToRun(spec({ hostNetwork: true, hostUsers: false }))).toEqual([
    "UserNamespacesHostNetworkSupport",
  ]);
  const all = ["RestartAllContainersOnContainerExits"];
  expect(featuresToRun(spec({}, rules("RestartAllContainers")))).toEqual(all);
  expect(featuresToRun(spec(init("1", rules("RestartAllContainers"))))).toEqual(all);
});

test("resizes of whole pods and of init containers need one each", () => {
  const whole = (cpu: string): Partial<PodSpec> => ({ resources: { requests: { cpu } } });
  expect(featuresToChange(spec(whole("1")), spec(whole("1")))).toEqual([]);
  const ofContainer = spec({}, { resources: { requests: { cpu: "1" } } });
  expect(featuresToChange(ofContainer, spec())).toEqual([]);
  const both = { ...whole("2"), ...init("2") };
  expect(featuresToChange(spec(both), spec({ ...whole("1"), ...init("1") }))).toEqual([
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
  ]);
  const sidecar = { restartPolicy: "Always" };
  expect(featuresToChange(spec(init("2", sidecar)), spec(init("1", sidecar)))).toEqual([]);
});

test("what a node has not declared is missing", () => {
  expect(missingFeatures(["a", "b"], ["b"])).toEqual(["a"]);
  expect(missingFeatures(["a"])).toEqual(["a"]);
});
