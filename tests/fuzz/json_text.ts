/**
 * Messages as JSON text that can be changed: fields left out, doubled, renamed, filled with what
 * readers trip over. Text and not values, since much of that is no value.
 */

import fc from "fast-check";

/** Texts to stand for a value; most are JSON, some are not quite. */
const VALUES: readonly string[] = [
  ..."null true false 0 1 -1 1.5 -0 1e400 -1e400 1e-400 9007199254740993".split(" "),
  "9".repeat(400),
  "01",
  "+1",
  "NaN",
  "0x10",
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u001b[2J"',
  '"../../etc/passwd"',
  '"ALICE"',
  '"alice "',
  '"\u0430lice"',
  '"bob"',
  '"user0"',
  `"${"a".repeat(63)}"`,
  `"${"a".repeat(64)}"`,
  `"${"A".repeat(70_000)}"`,
  '"AAAA"',
  '"AAA="',
  '"AAB="',
  '"A A="',
  '"QUJD\\n"',
  "[]",
  "{}",
  "[null]",
  '{"__proto__":{"id":"bob"}}',
  '{"toString":1}',
  "[".repeat(10_000) + "]".repeat(10_000),
  '{"a":'.repeat(5_000) + "1" + "}".repeat(5_000),
  "[".repeat(50),
  '"unterminated',
  "undefined",
];

const NAMES: readonly string[] = [
  ...["seq", "type", "id", "csr", "certificate", "request", "signature", "nonce", "mode", "file"],
  ...["__proto__", "constructor", "toString", "prototype", "hasOwnProperty", "", "\\u0069d", "Id"],
];

const WAYS = [
  ...["value", "value", "value", "drop", "double", "rename", "add", "reverse"],
  ...["insert", "cut", "space", "swap"],
] as const;

export interface JsonMutation {
  readonly way: (typeof WAYS)[number];
  readonly at: number;
  readonly choice: number;
  readonly text: string;
}

export const jsonMutation: fc.Arbitrary<JsonMutation> = fc.record({
  way: fc.constantFrom(...WAYS),
  at: fc.nat(),
  choice: fc.nat(),
  text: fc.string({ unit: "binary", maxLength: 12 }),
});

type Field = readonly [name: string, value: string];

function writeObject(fields: readonly Field[]): string {
  return `{${fields.map(([name, value]) => `"${name}":${value}`).join(",")}}`;
}

const valueOf = (choice: number) => VALUES[choice % VALUES.length] ?? "null";

function mutateFields(
  fields: readonly Field[],
  { way, at, choice, text }: JsonMutation,
): readonly Field[] {
  const index = at % Math.max(fields.length, 1);
  const field: Field = fields[index] ?? ["seq", "1"];
  const name = NAMES[choice % NAMES.length] ?? "id";
  switch (way) {
    case "value":
      return fields.with(index, [field[0], valueOf(choice)]);
    case "drop":
      return fields.toSpliced(index, 1);
    case "double":
      return [...fields, [field[0], valueOf(choice)]];
    case "rename":
      return fields.with(index, [name, field[1]]);
    case "add":
      return fields.toSpliced(index, 0, [name, valueOf(at)]);
    case "reverse":
      return fields.toReversed();
    case "swap":
      return fields.with(index, [field[0], fields[choice % fields.length]?.[1] ?? "1"]);
    default:
      return fields.with(index, [field[0], JSON.stringify(text)]);
  }
}

/** An object as text, changed in some ways one after the other. */
export function mutateJson(
  sample: Readonly<Record<string, unknown>>,
  mutations: readonly JsonMutation[],
): string {
  let fields: readonly Field[] = Object.entries(sample)
    .map(([name, value]) => [name, JSON.stringify(value)]);
  const onText: JsonMutation[] = [];
  for (const mutation of mutations) {
    if (["insert", "cut", "space"].includes(mutation.way)) onText.push(mutation);
    else if (fields.length > 0) fields = mutateFields(fields, mutation);
  }
  let text = writeObject(fields);
  for (const { way, at, text: inserted } of onText) {
    const place = at % (text.length + 1);
    const rest = way === "cut" ? "" : text.slice(place);
    text = text.slice(0, place) + (way === "insert" ? inserted : way === "space" ? " " : "") + rest;
  }
  return text;
}

/**
 * Whether an object in a good JSON text has a name twice: then the value has fewer members than were
 * written. Counted in another way than `lib/base/json.ts` looks for it.
 */
export function hasNameTwice(json: string): boolean {
  const written = json.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, "").split(":").length - 1;
  let members = 0;
  const left: unknown[] = [JSON.parse(json)];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== "object" || value === null) continue;
    const inside = Object.values(value);
    if (!Array.isArray(value)) members += inside.length;
    for (const one of inside) left.push(one);
  }
  return members < written;
}
