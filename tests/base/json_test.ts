import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { parseJson, RepeatedName } from "../../lib/base/json.ts";
import { hasNameTwice } from "../fuzz/json_text.ts";

const deep = (depth: number, inside: string) => '{"a":'.repeat(depth) + inside + "}".repeat(depth);

/**
 * Names that are escaped have two characters at least: the engine of Deno (V8 15) takes such a name of one
 * character for another now and then. That of the executable does not.
 */
const REPEATED: readonly (readonly [text: string, message: string])[] = [
  ['{"a":1,"a":1}', "a stands twice"],
  ['{"a":1,"b":2,"a":3}', "a stands twice"],
  [' { "a" : 1 ,\r\n\t"a"\t: 1 } ', "a stands twice"],
  ['{"id":1,"\\u0069d":2}', "id stands twice"],
  ['{"\\u0069d":1,"id":2}', "id stands twice"],
  ['{"\\"\\"":1,"\\u0022\\"":2}', '"" stands twice'],
  ['{"x\\\\":1,"x\\u005c":2}', "x\\ stands twice"],
  ['{"":1,"":2}', " stands twice"],
  ['{"__proto__":1,"__proto__":2}', "__proto__ stands twice"],
  ['{"a:b":1,"a:b":2}', "a:b stands twice"],
  ['{"}":1,"}":2}', "} stands twice"],
  ['{"öl":1,"\\u00f6l":2}', "öl stands twice"],
  ['{"a":{"b":1,"b":2},"c":3}', "a.b stands twice"],
  ['{"a":{"b":1,"c":{}},"d":[1,{"e":[],"e":[]}]}', "d.e stands twice"],
  ['{"a":{"b":1},"b":2,"a":3}', "a stands twice"],
  ['[{"a":1},{"a":1,"a":2}]', "a stands twice"],
  ['[1,2,3,4,{"a":1,"a":2}]', "a stands twice"],
  [`{"a":1${',"a":1'.repeat(20_000)}}`, "a stands twice"],
  [deep(5000, '{"b":1,"b":2}'), `${"a.".repeat(100)} stands twice`],
  ['{"\\u001b[2J\\u202e":1,"\\u001b[2J\\u202e":2}', "\ufffd[2J\ufffd stands twice"],
];

const GOOD: readonly string[] = [
  "null",
  '"a"',
  "1",
  "[]",
  "{}",
  "[{},{}]",
  '{"a":1}',
  '{"a":"a","b":"a"}',
  '{"a":":","b":"\\":"}',
  '{"a":"\\\\","b":":"}',
  '{"a":"\\\\\\":","b":"\\\\\\\\"}',
  '{"a":{"a":{"a":1}}}',
  '[{"a":1},{"a":1}]',
  '{"a":[{"b":1},{"b":2}],"b":"{"}',
  '{"a":1,"A":2,"a ":3,"\\u0000a":4}',
  '{"ö":1,"o\\u0308":2}', // alike to look at, and two names
  '{"__proto__":{"a":1},"a":2}',
  '{"time":"2026-11-01T12:00:00Z"}',
  deep(5000, "1"),
  "[".repeat(30_000) + "]".repeat(30_000),
  `[${"{},".repeat(20_000)}{}]`,
];

test("parseJson() refuses an object that has a name twice, and says which", () => {
  for (const [text, message] of REPEATED) {
    JSON.parse(text);
    assert.throws(
      () => parseJson(text),
      (error) => error instanceof RepeatedName && error.message === message,
      text.slice(0, 80),
    );
  }
});

test("parseJson() gives what JSON.parse() does where each name stands once", () => {
  for (const text of GOOD) {
    const value = parseJson(text);
    if (text.length < 10_000) assert.deepEqual(value, JSON.parse(text)); // not too deep for that
  }
});

test("parseJson() says of what is not JSON that it is not, in words that can be shown", () => {
  const texts = [
    "",
    "{",
    '{"a":1} x',
    "{'a':1}",
    '{"a":1,}',
    "\ufeff{}",
    '{"a":1,"a":',
    '"\u001b"',
  ];
  for (const text of texts) {
    assert.throws(
      () => parseJson(text),
      (error) =>
        error instanceof SyntaxError && !(error instanceof RepeatedName) &&
        // deno-lint-ignore no-control-regex
        /^not JSON: [^\u0000-\u001f]{1,200}$/.test(error.message),
      text,
    );
  }
});

/** A JSON text, and whether an object in it has a name twice. */
interface Written {
  readonly text: string;
  readonly isRepeated: boolean;
}

const space = fc.constantFrom("", "", "", " ", "\n", "\t\r ");
const name = fc.constantFrom(
  ...['"id"', '"\\u0069d"', '"b"', '""', '"a:b"', '"{"', '"}"', '"\\"x"', '"\\u0022x"', '"x\\\\"'],
  ...['"x\\u005c"', '"__proto__"', '"\\n\\n"', '"\\u000a\\n"', '"ö"'],
);
const leaf = fc.constantFrom(
  ...["1", "-1.5e3", "null", "true", '""', '"a"', '":"', '"{\\":}"', '"\\\\"', '"\\\\\\""'],
).map((text): Written => ({ text, isRepeated: false }));

const { value } = fc.letrec<{ value: Written }>((tie) => {
  const inside = tie("value");
  const array = fc.tuple(fc.array(inside, { maxLength: 3 }), space).map((
    [items, gap],
  ): Written => ({
    text: `[${items.map(({ text }) => gap + text).join(`${gap},`)}]`,
    isRepeated: items.some(({ isRepeated }) => isRepeated),
  }));
  const object = fc.tuple(fc.array(fc.tuple(name, inside), { maxLength: 4 }), space)
    .map(([members, gap]): Written => {
      const names = members.map(([written]) => JSON.parse(written));
      return {
        text: `{${
          members.map(([written, { text }]) => gap + written + gap + ":" + gap + text).join(",")
        }${gap}}`,
        isRepeated: new Set(names).size < names.length ||
          members.some(([, { isRepeated }]) => isRepeated),
      };
    });
  return { value: fc.oneof({ depthSize: "small" }, leaf, object, object, array) };
});

test("parseJson() finds a name that stands twice, however it is written and wherever", () => {
  const seen = { good: 0, repeated: 0 };
  fc.assert(
    fc.property(value, ({ text, isRepeated }) => {
      assert.equal(hasNameTwice(text), isRepeated, "the second opinion");
      if (isRepeated) assert.throws(() => parseJson(text), RepeatedName);
      else assert.deepEqual(parseJson(text), JSON.parse(text));
      seen[isRepeated ? "repeated" : "good"]++;
    }),
    { numRuns: 2000, seed: 8259 },
  );
  assert.ok(seen.good > 200 && seen.repeated > 200, JSON.stringify(seen));
});

test("JSON of others is read by parseJson() alone", () => {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  /** Each with its reason. */
  const others = [
    join("lib", "base", "json.ts"),
    join("lib", "base", "faults.ts"), // an endless loop, for tests
    join("lib", "log", "entry.ts"), // takes JSON in its one form only
  ];
  const files = ["lib", "commands"].flatMap((folder) =>
    fs.readdirSync(join(root, folder), { recursive: true }).map((file) =>
      join(folder, String(file))
    )
  ).filter((file) => file.endsWith(".ts"));
  const found = [...files, "main.ts"].filter((file) =>
    fs.readFileSync(join(root, file), "utf8").includes("JSON.parse(")
  );
  assert.deepEqual(found.sort(), others.sort());
});
