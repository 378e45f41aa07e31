/** Makes tests of rows: what we say, and what each referee says, of every one. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeUser } from "../../lib/x509/chain.ts";
import { parseCrl } from "../../lib/x509/crl.ts";
import { findPath } from "../../lib/x509/path_building.ts";
import { failedCheckOf, type PathCheck } from "../../lib/x509/path_failure.ts";
import { KEY_USAGE } from "../../lib/x509/extensions.ts";
import { parseIp, type WantedName } from "../../lib/x509/wanted_names.ts";
import { without } from "../tool.ts";
import { DOMAIN } from "./authorities.ts";
import { gnutls } from "./gnutls.ts";
import { java } from "./java.ts";
import { nss } from "./nss.ts";
import { openssl } from "./openssl.ts";
import { type Opinion, PURPOSES, type Referee, type Row } from "./row.ts";

export const REFEREES: readonly Referee[] = [openssl, gnutls, nss, java];

function wantedOf({ host, address }: Row): readonly WantedName[] {
  return [
    ...(host === undefined ? [] : [{ type: "dns" as const, value: host }]),
    ...(address === undefined ? [] : [{ type: "ip" as const, value: parseIp(address) }]),
  ];
}

/** The check that fails by our own path validation, if any. */
function failedByUs(work: () => unknown): PathCheck | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    const failed = failedCheckOf(error);
    if (!failed) throw error;
    return failed.check;
  }
}

function findByUs(row: Row): void {
  const { leaf, cas, root, use, crls, atMs } = row;
  findPath({
    leaf,
    intermediates: cas,
    anchors: [root],
    nowMs: atMs ?? Date.now(),
    purposes: [PURPOSES[use]],
    keyUsage: KEY_USAGE.digitalSignature,
    wanted: wantedOf(row),
    ...(crls ? { revocation: { crls: crls.map(parseCrl) } } : {}),
  });
}

/** Checks that are not made of a chain between peers, but beside it. */
const OTHERWHERE = new Set<PathCheck | undefined>(["names", "revocation"]);

/** Between peers a chain is judged without a host's name and without lists, and must be a user's. */
function testJudgement({ leaf, cas, root, atMs, user, refusedBy }: Row): void {
  const shown = [leaf, ...cas].map(({ der }) => der);
  let id: string | undefined;
  const failed = failedByUs(() => {
    ({ id } = judgeUser(shown, { anchor: { root, domain: DOMAIN }, nowMs: atMs ?? Date.now() }));
  });
  if (user === undefined) {
    assert.notEqual(failed, undefined, "it is not a user's");
  } else if (refusedBy && !OTHERWHERE.has(refusedBy)) {
    assert.equal(failed, refusedBy);
  } else {
    assert.equal(id, user);
  }
}

function testOurselves(row: Row): void {
  const { name, refusedBy } = row;
  test(`we ${refusedBy ? "refuse" : "accept"} ${name}`, () => {
    assert.equal(failedByUs(() => findByUs(row)), refusedBy);
    testJudgement(row);
  });
}

/** Each referee judges all rows at once, when the first test asks for it; a fault is every row's. */
function lazily(referee: Referee, rows: readonly Row[]): (row: Row) => Promise<Opinion> {
  let opinions: Promise<readonly Opinion[]> | undefined;
  return async (row) => {
    opinions ??= Promise.resolve(rows).then(referee.judge);
    const opinion = (await opinions)[rows.indexOf(row)];
    assert.ok(opinion);
    return opinion;
  };
}

function testReferee(referee: Referee, rows: readonly Row[]): void {
  const { name: who, programs, words, cannotJudge } = referee;
  const asked = rows.filter((row) => cannotJudge(row) === undefined);
  const opinionOf = lazily(referee, asked);
  for (const row of asked) {
    const isRight = row.refusedBy === undefined;
    const difference = row.differences?.[who];
    const accepts = difference?.accepts ?? isRight;
    const because = difference ? `, since ${difference.because}` : "";
    test(`${who} ${accepts ? "accepts" : "refuses"} ${row.name}${because}`, {
      skip: without(...programs),
    }, async () => {
      assert.notEqual(difference?.accepts, isRight, "a difference that is none");
      const opinion = await opinionOf(row);
      const hint = difference ? "it may no longer differ: " : "";
      assert.equal(opinion.accepts, accepts, `${hint}${opinion.output}`);
      if (accepts) return;
      const said = difference?.accepts === false
        ? difference.says
        : row.words?.[who] ?? words[row.othersSay ?? row.refusedBy ?? "work"];
      assert.ok(said, "its words are not known");
      assert.match(opinion.output, said);
    });
  }
}

/** One test a row for us, and one for each referee that can be asked. */
export function testRows(rows: readonly Row[]): void {
  for (const row of rows) testOurselves(row);
  for (const referee of REFEREES) testReferee(referee, rows);
}
