/** Whether a server may go on with the log that it finds, and what going on with a loss leaves behind. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { defaultWitness, serverFiles } from "../../lib/server/files.ts";
import { loadIssuing, openIssuingKey } from "../../lib/server/issuers.ts";
import { certifyLogKey, loadRoot } from "../../lib/server/log_key.ts";
import { type OpenedLog, openLog } from "../../lib/server/open_log.ts";
import { freshPath, grow, makeDataFolder, PASSPHRASE, removeFolders } from "./data_folder.ts";

after(removeFolders);

interface Opening {
  readonly acceptsLoss?: boolean;
  readonly rootKeyPath?: string;
  readonly warn?: (text: string) => void;
}

async function open(
  folder: string,
  { acceptsLoss = false, warn = () => {}, ...rootKey }: Opening = {},
) {
  const files = serverFiles(folder);
  return await openLog({
    files,
    root: loadRoot(files),
    domain: "pki.internal",
    passphrase: PASSPHRASE,
    witness: defaultWitness(folder),
    acceptsLoss,
    ...rootKey,
    nowMs: Date.now(),
    warn,
  });
}

async function end({ log, state }: OpenedLog): Promise<void> {
  await log.close();
  state.close();
}

async function refusalOf(promise: Promise<OpenedLog>): Promise<PkiError> {
  const error: unknown = await promise.then(end, (error) => error);
  assert.ok(error instanceof PkiError, `it was opened, or failed with ${error}`);
  assert.ok(error.hint);
  return error;
}

/** A folder that was put back from an older copy, with the witness of the newer one. */
async function makeBehind(): Promise<{ folder: string; older: string }> {
  const folder = makeDataFolder();
  const older = freshPath("older");
  fs.cpSync(folder, older, { recursive: true });
  await grow(folder, ["dave"]);
  putBack(folder, older);
  return { folder, older };
}

function putBack(folder: string, older: string): void {
  fs.rmSync(folder, { recursive: true });
  fs.cpSync(older, folder, { recursive: true });
}

const originOf = ({ log }: OpenedLog) => log.checkpoint.split("\n")[0] ?? "";
const typeOfLast = ({ log }: OpenedLog) => log.read(log.size - 1).type;

test("openLog() goes on with an accepted loss under the next generation, and logs that", async () => {
  const { folder } = await makeBehind();
  assert.match((await refusalOf(open(folder))).message, /lost entries/);
  const warnings: string[] = [];
  const opened = await open(folder, { acceptsLoss: true, warn: (text) => warnings.push(text) });
  assert.match(originOf(opened), /\/2$/);
  assert.equal(typeOfLast(opened), "restarted");
  assert.equal(opened.state.restartedKey, opened.key.statement.key);
  assert.ok(warnings.some((text) => text.startsWith("going on with a loss: ")));
  // What followed from the log as it was does not come back by them.
  assert.equal(fs.existsSync(serverFiles(folder).snapshot), false);
  assert.equal(fs.existsSync(serverFiles(folder).serverCertificate), false);
  await end(opened);
  const again = await open(folder);
  assert.match(originOf(again), /\/2$/);
  assert.equal(again.log.size, opened.log.size, "it is logged once");
  await end(again);
  assert.match(
    (await refusalOf(open(folder, { acceptsLoss: true }))).message,
    /the log has lost nothing/,
  );
});

test("openLog() accepts a loss with the root's key from elsewhere, and not without it", async () => {
  const { folder } = await makeBehind();
  const files = serverFiles(folder);
  const elsewhere = freshPath("root.key");
  fs.renameSync(files.rootKey, elsewhere);
  const refusal = await refusalOf(open(folder, { acceptsLoss: true }));
  assert.equal(refusal.kind, "not-found");
  assert.match(refusal.hint ?? "", /--root-key/);
  assert.ok(fs.existsSync(files.snapshot), "nothing was changed");
  const opened = await open(folder, { acceptsLoss: true, rootKeyPath: elsewhere });
  assert.match(originOf(opened), /\/2$/);
  await end(opened);
});

test("openLog() has the issuing CA sign the next key where it signed the one before", async () => {
  const folder = makeDataFolder();
  const files = serverFiles(folder);
  fs.rmSync(files.rootKey);
  const issuing = loadIssuing(files);
  const key = await openIssuingKey(files, issuing, PASSPHRASE);
  const [verifierKey = ""] = fs.readFileSync(files.logPublic, "utf8").split("\n");
  certifyLogKey(files, verifierKey, { key, issuing });
  const older = freshPath("older");
  fs.cpSync(folder, older, { recursive: true });
  await grow(folder, ["dave"]);
  putBack(folder, older);
  const opened = await open(folder, { acceptsLoss: true });
  assert.match(originOf(opened), /\/2$/);
  assert.ok(opened.key.statement.issuer !== undefined);
  assert.equal(typeOfLast(opened), "restarted");
  await end(opened);
});

test("openLog() never uses a generation twice, also from a copy of before it", async () => {
  const { folder, older } = await makeBehind();
  await end(await open(folder, { acceptsLoss: true }));
  putBack(folder, older);
  assert.match((await refusalOf(open(folder))).message, /it was started anew as .*\/2 after this/);
  const opened = await open(folder, { acceptsLoss: true });
  assert.match(originOf(opened), /\/3$/);
  await end(opened);
});

test("openLog() finishes accepting a loss that was cut short at the log's key", async () => {
  const { folder } = await makeBehind();
  const files = serverFiles(folder);
  const before = [files.logKey, files.logPublic].map((path) => fs.readFileSync(path));
  await end(await open(folder, { acceptsLoss: true }));
  // The private part of the new key, and the public part of the old one.
  const { folder: half } = await makeBehind();
  const halfFiles = serverFiles(half);
  fs.copyFileSync(files.logKey, halfFiles.logKey);
  assert.ok(before[1] && before[1].length > 0);
  assert.match((await refusalOf(open(half))).message, /lost entries|is not the key of/);
  const opened = await open(half, { acceptsLoss: true });
  assert.match(originOf(opened), /\/2$/);
  assert.equal(typeOfLast(opened), "restarted");
  await end(opened);
});

test("openLog() logs a restart that a start was cut short at, once, with or without being told", async () => {
  for (const acceptsLoss of [false, true]) {
    const { folder } = await makeBehind();
    const files = serverFiles(folder);
    const size = fs.statSync(`${files.log}/000000000000.log`).size;
    const first = await open(folder, { acceptsLoss: true });
    const wanted = first.log.size;
    await end(first);
    // As if it had died before its first entry was written.
    fs.truncateSync(`${files.log}/000000000000.log`, size);
    for (const path of [`${files.log}/checkpoint`, defaultWitness(folder)]) fs.rmSync(path);
    const opened = await open(folder, { acceptsLoss });
    assert.equal(typeOfLast(opened), "restarted");
    assert.equal(opened.log.size, wanted);
    await end(opened);
  }
});

test("openLog() leaves a witness alone that is not of this log", async () => {
  const others: readonly (readonly [what: string, text: string])[] = [
    ["another server's", "pki.internal/0000000000000000/1\n3\nAAAA\n\n— x y\n"],
    ["no witness at all", "the only copy of a poem\n"],
  ];
  for (const [what, text] of others) {
    const folder = makeDataFolder();
    fs.writeFileSync(defaultWitness(folder), text);
    const error = await refusalOf(open(folder));
    assert.match(error.message, /cannot use the witness .*: it is not of this log/, what);
    assert.equal(fs.readFileSync(defaultWitness(folder), "utf8"), text);
  }
});

test("openLog() makes no other key where checkpoints were signed with one that is gone", async () => {
  const folder = makeDataFolder();
  fs.rmSync(serverFiles(folder).logPublic);
  const error: unknown = await open(folder).then(end, (error) => error);
  assert.ok(error instanceof PkiError, `${error}`);
  assert.match(error.message, /log\.pub/);
});
