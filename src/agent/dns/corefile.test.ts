import { expect, test } from "bun:test";
import fc from "fast-check";
import { CorefileError, parseCorefile, parseDirectives } from "./corefile.ts";

function told(run: () => unknown): string {
  try {
    return JSON.stringify(run());
  } catch (error) {
    if (error instanceof CorefileError) return error.message;
    throw error;
  }
}

test("server blocks have keys, directives, arguments and blocks of their own", () => {
  const text = `
    # a comment
    example.org, example.com:53 {
      forward . 10.0.0.1 10.0.0.2 {  # two
        policy round_robin
      }
      template IN A { match "^a b\\"c" }
      log
    }
    other { errors }`;
  const [first, second] = parseCorefile(text);
  expect(first?.keys).toEqual(["example.org", "example.com:53"]);
  expect(first?.directives.map(({ name, args }) => [name, ...args].join(" "))).toEqual([
    "forward . 10.0.0.1 10.0.0.2",
    "template IN A",
    "log",
  ]);
  expect(first?.directives[0]?.block[0]).toMatchObject({ name: "policy", args: ["round_robin"] });
  expect(first?.directives[1]?.block[0]?.args).toEqual(['^a b"c']);
  expect(second).toMatchObject({ keys: ["other"], directives: [{ name: "errors", line: 10 }] });
});

test("snippets are put in where they are imported", () => {
  const [block] = parseCorefile("(common) {\n log\n errors\n}\na {\n import common\n cache\n}");
  expect(block?.directives.map(({ name }) => name)).toEqual(["log", "errors", "cache"]);
  expect(told(() => parseCorefile("a {\n import nothing\n}"))).toBe(
    'line 2: there is no snippet "nothing"',
  );
});

test("what cannot be read is told with its line", () => {
  expect(told(() => parseCorefile("a {\n log"))).toBe('line 1: "{" is never closed');
  expect(told(() => parseDirectives("log\n}"))).toBe('line 2: unexpected "}"');
  expect(told(() => parseDirectives("{\n}"))).toBe('line 1: "{" without a name before it');
  expect(told(() => parseDirectives('log "a'))).toBe("line 1: a quote is never closed");
});

test("any text is read or refused, and what was read can be written and read again", () => {
  const word = fc.stringMatching(/^[a-z0-9.]{1,5}$/);
  const line = fc.array(word, { minLength: 1, maxLength: 4 });
  const tree = fc.array(fc.record({ words: line, block: fc.array(line, { maxLength: 3 }) }));
  fc.assert(
    fc.property(tree, (lines) => {
      const text = lines
        .map(({ words, block }) => {
          const inside = block.map((one) => `  ${one.join(" ")}\n`).join("");
          return block.length === 0 ? words.join(" ") : `${words.join(" ")} {\n${inside}}`;
        })
        .join("\n");
      const read = parseDirectives(text).map(({ name, args, block }) => ({
        words: [name, ...args],
        block: block.map((one) => [one.name, ...one.args]),
      }));
      expect(read).toEqual(lines);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void told(() => parseCorefile(text))));
});
