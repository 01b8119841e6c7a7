import { expect, test } from "bun:test";
import { containerHash } from "./container-config.ts";

test("only another image makes another container", () => {
  const first = { name: "a", image: "web:1", volumeMounts: [{ name: "v", mountPath: "/v" }] };
  const again = {
    image: "web:1",
    name: "a",
    volumeMounts: [{ mountPath: "/v", name: "v", readOnly: false }],
  };
  expect(containerHash(again)).toBe(containerHash(first));
  expect(containerHash({ ...first, image: "web:2" })).not.toBe(containerHash(first));
});
