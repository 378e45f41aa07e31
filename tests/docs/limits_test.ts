/**
 * `docs/limits.md` says what the program does: its tables are made from the program's own.
 * `UPDATE_GOLDEN=1` writes them anew; then `deno fmt docs/limits.md`.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { LIMITS } from "../../lib/base/limits.ts";
import { SERVER_LIMIT_NAMES, SERVER_LIMITS } from "../../lib/base/server_limits.ts";
import { ADMIN_CONNECTIONS_MAX, ADMIN_SOCKETS_MAX } from "../../lib/server/admin.ts";
import { STARTS_AT_ONCE } from "../../lib/server/turns.ts";

const ROOT = join(import.meta.dirname ?? ".", "..", "..");
const DOCUMENT = join(ROOT, "docs", "limits.md");
const SOURCE = join(ROOT, "lib", "base", "limits.ts");

/** Of 1,000 sessions that are held, as docs/performance.md has it: measured, and nothing bounds it. */
const WORKER_BYTES = 2.2e6;

type Row = readonly string[];

const UNITS: readonly (readonly [name: string, factor: number])[] = [
  ["years", 365 * 24 * 3_600_000],
  ["days", 24 * 3_600_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** A number for people, by what its name says that it is. */
function show(name: string, value: number): string {
  const plain = value.toLocaleString("en");
  if (/Ms(?:M(?:in|ax))?$/.test(name)) {
    const [unit, factor] = UNITS.find(([, factor]) => value >= factor && value % factor === 0) ??
      assert.fail(name);
    const times = value / factor;
    return `${times} ${times === 1 ? unit.replace(/(?<=...)s$/, "") : unit}`;
  }
  if (!/Bytes/.test(name)) return plain;
  if (value >= 1024 * 1024 && value % (1024 * 1024) === 0) return `${value / 1024 / 1024} MiB`;
  return value % 1024 === 0 ? `${value / 1024} KiB` : `${plain} bytes`;
}

function settingsRows(): readonly Row[] {
  return SERVER_LIMIT_NAMES.map((name) => {
    const row = SERVER_LIMITS[name];
    const { standard, min, max, unit, bounds, reason, heard } = row;
    const isOff = "isOffAtZero" in row && standard === 0;
    const spared = "sparesLoopback" in row ? "; not of this machine" : "";
    return [
      `\`${name}\``,
      isOff ? "off" : standard.toLocaleString("en"),
      `${min.toLocaleString("en")} to ${max.toLocaleString("en")} ${unit}`,
      `${bounds}${spared}`,
      reason,
      heard,
    ];
  });
}

/** The comments of `limits.ts`, each with the names that it stands before. */
function fixedRows(): readonly Row[] {
  const source = fs.readFileSync(SOURCE, "utf8");
  const rows: Row[] = [];
  let comment = "";
  const piece = /\/\*\*([^]*?)\*\/|^ {2}(\w+): /gm;
  const body = source.slice(source.indexOf("export const LIMITS"));
  for (const [, text, name] of body.matchAll(piece)) {
    if (text !== undefined) comment = text.replaceAll(/\s*\n\s*\*?\s*/g, " ").trim();
    if (name === undefined) continue;
    const value = LIMITS[name as keyof typeof LIMITS];
    assert.equal(typeof value, "number", name);
    rows.push([`\`${name}\``, show(name, value), comment]);
  }
  assert.deepEqual(rows.map(([name]) => name), Object.keys(LIMITS).map((name) => `\`${name}\``));
  return rows;
}

const TABLES: Readonly<
  Record<string, { readonly head: Row; readonly rows: () => readonly Row[] }>
> = {
  settings: {
    head: ["key", "standard", "may be", "bounds", "why", "beyond it one hears"],
    rows: settingsRows,
  },
  fixed: { head: ["name", "value", "is"], rows: fixedRows },
};

/** Cells without the spaces that the formatter puts around them. */
function parseTable(markdown: string): readonly Row[] {
  return markdown.split("\n")
    .filter((line) => line.startsWith("|") && !/^[|\s:-]+$/.test(line))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
}

for (const [name, { head, rows }] of Object.entries(TABLES)) {
  test(`docs/limits.md has the table of ${name} as the program has it`, () => {
    const place = new RegExp(`(<!-- ${name} -->\n)([^]*?)(\n<!-- /${name} -->)`);
    const wanted = [head, ...rows()];
    for (const row of wanted) {
      assert.equal(row.length, head.length);
      for (const cell of row) assert.ok(!cell.includes("|"), cell);
    }
    const document = fs.readFileSync(DOCUMENT, "utf8");
    if (process.env["UPDATE_GOLDEN"] === "1") {
      const [first = [], ...rest] = wanted.map((row) => `| ${row.join(" | ")} |`);
      const table = [first, `|${" --- |".repeat(head.length)}`, ...rest].join("\n");
      fs.writeFileSync(
        DOCUMENT,
        document.replace(place, (_all, before, _old, after) => `${before}\n${table}\n${after}`),
      );
    }
    const [, , table = ""] = place.exec(fs.readFileSync(DOCUMENT, "utf8")) ?? assert.fail(name);
    const lines = (rows: readonly Row[]) => rows.map((row) => row.join(" | "));
    const missing = lines(wanted).filter((line) => !lines(parseTable(table)).includes(line));
    const hint = `UPDATE_GOLDEN=1 deno test -A tests/docs writes it anew, for:\n${
      missing.join("\n")
    }`;
    assert.deepEqual(lines(parseTable(table)), lines(wanted), hint);
  });
}

test("docs/limits.md calculates with the numbers of the program", () => {
  const text = fs.readFileSync(DOCUMENT, "utf8").replaceAll(/\s+/g, " ");
  const says = (words: string) => assert.ok(text.includes(words), words);
  const { requestsInFlight, answersUnreadBytes, requestsAtWork } = SERVER_LIMITS;
  const { addressesPerSite, connectionsPerAddress, handshakesPerAddress } = SERVER_LIMITS;
  const times = addressesPerSite.standard;
  says(`${times} × ${connectionsPerAddress.standard} connections`);
  says(`${times} × ${handshakesPerAddress.standard} handshakes under way`);
  says(`${times} × ${SERVER_LIMITS.handshakesPerSecond.standard} handshakes a second`);
  says(`${times} × ${SERVER_LIMITS.statusesPerMinute.standard.toLocaleString("en")} OCSP`);
  says(`${times} turns`);
  says(`2 × ${SERVER_LIMITS.connectionsPerUser.standard} in all`);
  says(`\`addressesPerSite\` (${times}) of each /48`);
  says(`the ${STARTS_AT_ONCE} that are begun before`);
  says(`where \`requestsAtWork\` (${requestsAtWork.standard}) are under way`);
  says(`\`maxConnections\` (${LIMITS.connectionsMax}) bounds`);
  says(`${ADMIN_CONNECTIONS_MAX} at work, one request each`);
  says(`from ${ADMIN_SOCKETS_MAX} sockets on`);
  says(`${LIMITS.directoryQuestionsMax.toLocaleString("en")} questions to the directory`);
  const frames = requestsInFlight.standard * LIMITS.frameBytesMax;
  says(
    `| requests in flight, as long as they may be | ${(frames / 1024).toLocaleString("en")} KiB |`,
  );
  says(`| answers to what was in flight by then | ${(frames / 1024).toLocaleString("en")} KiB |`);
  says(`before the next request | ${answersUnreadBytes.standard / 1024} KiB |`);
  const kib = (bytes: number) => `${(bytes / 1024).toLocaleString("en")} KiB`;
  says(`waits for the worker; then it is cut | ${kib(LIMITS.heldBytesMax)} |`);
  // It is given a piece as long as it has less than a frame, and no piece is longer than what is held.
  const given = LIMITS.frameBytesMax + LIMITS.heldBytesMax;
  says(`has not worked on: a frame, and a piece | ${kib(given)} |`);
  says(`the frame that it reads | ${kib(LIMITS.frameBytesMax)} |`);
  const incoming = LIMITS.heldBytesMax + given + LIMITS.frameBytesMax;
  says(`take 2.3 GB | ${WORKER_BYTES / 1e6} MB |`);
  const sum = (inFlight: number) =>
    WORKER_BYTES + incoming + answersUnreadBytes.standard + 2 * inFlight * LIMITS.frameBytesMax;
  says(`That is ${(sum(requestsInFlight.standard) / 1e6).toFixed(1)} MB, and`);
  const all = LIMITS.connectionsMax * sum(requestsInFlight.standard);
  says(
    `${(all / 1e9).toFixed(1)} GB for ${LIMITS.connectionsMax.toLocaleString("en")} connections`,
  );
  says(`(4 makes ${(sum(4) / 1e6).toFixed(0)} MB a connection)`);
  // At two bytes a character; the engine may do with one.
  says(`${(2 * LIMITS.preparedCharactersMax / 1e6).toFixed(0)} MB of answers to lookups`);
});
