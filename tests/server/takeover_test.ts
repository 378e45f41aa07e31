/** What a change of the data folder comes to while the server runs: all of it, or nothing. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { serverFiles } from "../../lib/server/files.ts";
import { issuerFiles, issuerName } from "../../lib/server/issuers.ts";
import { Takeover } from "../../lib/server/takeover.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { DOMAIN, makeCa, makeDirectory, makeOtherIssuer } from "../fakes/directory.ts";

const CA = await makeCa();
const OUTSIDE = await makeOtherIssuer(CA, { number: 2, outside: ["example.org"] });
const FOLDER = fs.mkdtempSync(join(tmpdir(), "pki-takeover-"));
after(() => fs.rmSync(FOLDER, { recursive: true }));

/** A directory whose folder has got another CA, and what is done about it, in order. */
async function makeWorld() {
  const world = await makeDirectory(CA);
  const files = serverFiles(fs.mkdtempSync(join(FOLDER, "data-")));
  fs.mkdirSync(files.issuers);
  fs.writeFileSync(files.rootCertificate, encodePem("CERTIFICATE", CA.root.der));
  fs.writeFileSync(files.issuingCertificate, encodePem("CERTIFICATE", CA.issuing.der));
  fs.writeFileSync(
    issuerFiles(files, issuerName(OUTSIDE.certificate)).certificate,
    encodePem("CERTIFICATE", OUTSIDE.certificate.der),
  );
  const done: string[] = [];
  const known = () => world.directory.issuers.outside.length;
  const { authority } = world.directory.options;
  const does = { prepare: () => Promise.resolve() };
  authority.prepareReload = () => {
    done.push(`prepare, ${known()} known`);
    return does.prepare();
  };
  world.log.before = ({ type }) => void done.push(`log ${type}, ${known()} known`);
  authority.reload = () => {
    done.push(`use, ${known()} known`);
    return Promise.resolve();
  };
  const takeover = new Takeover({
    directory: world.directory,
    files,
    domain: DOMAIN,
    keepLists: () => Promise.resolve(void done.push("lists")),
  });
  return { ...world, files, done, does, known, takeover };
}

const ALL = ["prepare, 0 known", "log issued, 0 known", "use, 1 known", "lists"];

test("Takeover.run() does what may fail before it changes anything", async () => {
  const { takeover, done, known } = await makeWorld();
  const { current, outside } = await takeover.run();
  assert.deepEqual([current.der, outside.length], [CA.issuing.der, 1]);
  assert.deepEqual(done, ALL);
  assert.equal(known(), 1);
  done.length = 0;
  await takeover.run();
  assert.deepEqual(done, ["prepare, 1 known", "use, 1 known", "lists"], "it is logged once");
});

test("Takeover.run() leaves all as it was when a file, a profile or the disk is not as it must be", async () => {
  const full = new PkiError("storage", "cannot append to log: the disk is full");
  const rows: readonly (readonly [
    what: string,
    breaks: (world: Awaited<ReturnType<typeof makeWorld>>) => () => void,
    done: readonly string[],
  ])[] = [
    ["a CA that cannot be read", ({ files }) => {
      const path = join(files.issuers, `${"0".repeat(16)}.crt`);
      fs.writeFileSync(path, "no certificate");
      return () => fs.rmSync(path);
    }, []],
    ["a profile that is malformed", ({ does }) => {
      const { prepare } = does;
      does.prepare = () => Promise.reject(new PkiError("malformed", "cannot use the profiles"));
      return () => does.prepare = prepare;
    }, ["prepare, 0 known"]],
    ["a disk that is full", ({ log }) => {
      const { before } = log;
      log.before = () => {
        throw full;
      };
      return () => log.before = before;
    }, ["prepare, 0 known"]],
  ];
  for (const [what, breaks, wanted] of rows) {
    const world = await makeWorld();
    const mend = breaks(world);
    await assert.rejects(world.takeover.run(), PkiError, what);
    assert.deepEqual(world.done, wanted, what);
    assert.equal(world.known(), 0, what);
    assert.deepEqual(world.entries, [], what);
    mend();
    world.done.length = 0;
    await world.takeover.run();
    assert.deepEqual(world.done, ALL, `${what}, mended`);
  }
});

test("Takeover.run() takes over one change after the other, also behind one that failed", async () => {
  const { takeover, done, does } = await makeWorld();
  const gates: PromiseWithResolvers<void>[] = [];
  does.prepare = () => {
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    return gate.promise;
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const first = assert.rejects(takeover.run(), { kind: "malformed" });
  const second = takeover.run();
  await turn();
  assert.equal(gates.length, 1);
  gates[0]?.reject(new PkiError("malformed", "cannot use the profiles"));
  await first;
  await turn();
  assert.equal(gates.length, 2);
  gates[1]?.resolve();
  await second;
  assert.deepEqual(done, ["prepare, 0 known", ...ALL]);
});
