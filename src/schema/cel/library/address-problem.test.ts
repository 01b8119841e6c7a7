import { expect, test } from "bun:test";
import { addressProblem } from "./address-problem.ts";

test.each([
  ["1.2.3", "IPv4 address too short"],
  ["1.2.3.4.5", "IPv4 address too long"],
  ["1..2.3", 'IPv4 field must have at least one digit (at ".2.3")'],
  ["01.2.3.4", "IPv4 field has octet with leading zero"],
  ["256.1.1.1", "IPv4 field has value >255"],
  ["1.2.3.a", 'unexpected character (at "a")'],
  ["a", "unable to parse IP"],
  ["%a", "missing IPv6 address"],
  ["fe80::1%", "zone must be a non-empty string"],
  ["1:2", "address string too short"],
  ["1:::2", 'each colon-separated field must have at least one digit (at ":2")'],
  ["1::2::3", 'multiple :: in address (at ":3")'],
  ["12345::", 'each group must have 4 or less digits (at "12345::")'],
  ["1:2:3:4:5:6:7:8:9", 'trailing garbage after address (at "9")'],
  ["1::2:", 'colon must be followed by more characters (at ":")'],
  ["1:2 :3", 'unexpected character, want colon (at " :3")'],
  ["1:2:3:4:5:6:7:8::", "the :: must expand to at least one field of zeros"],
  ["::1.256.3.4", "IPv4 field has value >255"],
])("%s is no address, in Go's words", (text, why) => {
  expect(addressProblem(text)).toBe(`ParseAddr("${text}"): ${why}`);
});

test.each(["1.2.3.4", "::", "::1", "1::", "fe80::1%eth0", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"])(
  "%s is one",
  (text) => {
    expect(addressProblem(text)).toBeUndefined();
  },
);
