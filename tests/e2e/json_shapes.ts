/**
 * What `docs/json.md` says of each result: under a heading a table of fields, and an example. A field
 * is `name`, `list[].name` or `object.name`; its type is in words, see {@link TYPES}.
 */

import assert from "node:assert/strict";

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
/** With an ellipsis: the documentation shortens them. */
const PEM = /^(?:-----BEGIN [A-Z ]+-----\n(?:[A-Za-z0-9+/=…]{1,64}\n)+-----END [A-Z ]+-----\n)+$/;
const isText = (value: unknown): value is string => typeof value === "string";
const matches = (pattern: RegExp) => (value: unknown) => isText(value) && pattern.test(value);

/** Words of the documentation, and what they promise. */
const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: isText,
  path: (value) => isText(value) && value !== "",
  id: matches(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/),
  serial: matches(/^(?:[0-9a-f]{2}){1,20}$/),
  fingerprint: matches(/^[0-9a-f]{64}$/),
  hex: matches(/^(?:[0-9a-f]{2})+$/),
  base64: matches(/^[A-Za-z0-9+/]+={0,2}$/),
  time: matches(TIME),
  pem: matches(PEM),
  number: (value) => typeof value === "number" && Number.isSafeInteger(value),
  decimal: (value) => typeof value === "number" && Number.isFinite(value),
  "yes or no": (value) => typeof value === "boolean",
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

interface Field {
  readonly path: string;
  readonly type: string;
  readonly isOptional: boolean;
}

export interface Shape {
  readonly fields: readonly Field[];
  readonly examples: readonly unknown[];
}

const ROW = /^\| `([^`]+)` *\| ([^|]+?) *\|/;

function parseType(text: string): Pick<Field, "type" | "isOptional"> {
  const type = text.replace(/, optional$/, "");
  return { type, isOptional: type !== text };
}

/** Shapes by the heading above each table. */
export function parseShapes(markdown: string): ReadonlyMap<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const section of markdown.split(/^(?=#{2,4} )/m)) {
    const [, heading] = /^#+ (.*)$/m.exec(section) ?? [];
    const fields = section.split("\n").flatMap((line) => {
      const [, path, type] = ROW.exec(line) ?? [];
      return path === undefined || type === undefined ? [] : [{ path, ...parseType(type) }];
    });
    if (heading === undefined || !/^\| field /m.test(section)) continue;
    const examples = [...section.matchAll(/^```jsonl\n([^]*?)^```$/gm)]
      .flatMap(([, text = ""]) => text.trim().split("\n").map((line) => JSON.parse(line)));
    shapes.set(heading.replaceAll("`", ""), { fields, examples });
  }
  return shapes;
}

function isOfType(value: unknown, type: string): boolean {
  if (type.endsWith(" or null")) {
    return value === null || isOfType(value, type.slice(0, -" or null".length));
  }
  if (type.startsWith("list of ")) {
    const item = type.slice("list of ".length).replace(/^objects$/, "object");
    return Array.isArray(value) && value.every((one) => isOfType(one, item));
  }
  const words = [...type.matchAll(/`([^`]+)`/g)].map(([, word]) => word);
  if (words.length > 0) return isText(value) && words.includes(value);
  const isType = TYPES[type];
  assert.ok(isType, `there is no type ${JSON.stringify(type)}`);
  return isType(value);
}

/** The fields that are right below a prefix, and those below each of them. */
function below(fields: readonly Field[], prefix: string): readonly Field[] {
  return fields.filter(({ path }) => path.startsWith(prefix))
    .map((field) => ({ ...field, path: field.path.slice(prefix.length) }));
}

/** @throws an assertion if the value is not as documented: a field more, less, or of another type */
export function checkFits(value: unknown, fields: readonly Field[], where: string): void {
  assert.ok(TYPES["object"]?.(value), `${where} is an object: ${JSON.stringify(value)}`);
  const found = value as Readonly<Record<string, unknown>>;
  const own = fields.filter(({ path }) => !/[.[]/.test(path));
  const undocumented = Object.keys(found).filter((name) => !own.some(({ path }) => path === name));
  assert.deepEqual(undocumented, [], `${where}: fields that are not documented`);
  for (const { path, type, isOptional } of own) {
    const here = `${where}.${path}`;
    if (!(path in found)) {
      assert.ok(isOptional, `${here} is missing`);
      continue;
    }
    const part = found[path];
    assert.ok(isOfType(part, type), `${here} is not ${type}: ${JSON.stringify(part)}`);
    const inList = below(fields, `${path}[].`);
    const inObject = below(fields, `${path}.`);
    if (inList.length > 0) {
      (part as readonly unknown[]).forEach((one, i) => checkFits(one, inList, `${here}[${i}]`));
    }
    if (inObject.length > 0 && part !== null) checkFits(part, inObject, here);
  }
}
