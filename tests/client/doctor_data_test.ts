import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import { checkDataFolder } from "../../lib/client/doctor_data.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { makeTestCa } from "../fakes/ca.ts";
import { linesOf, patientOf } from "./patient.ts";
import { inHome } from "./temporary_home.ts";

const ca = await makeTestCa();
const other = await makeTestCa();

test("checkDataFolder() says whether a server runs on it, and what is wrong with the folder", () =>
  inHome(async (home) => {
    const found = async (isServed = () => Promise.resolve(true)) =>
      linesOf(await checkDataFolder(patientOf(home, { isServed })));
    assert.deepEqual(await found(), [], "most homes have none");
    const folder = home.serverFolder;
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const root = (der: Uint8Array) =>
      fs.writeFileSync(join(folder, "root.crt"), encodePem("CERTIFICATE", der));
    root(ca.root.certificate.der);
    const runs = `ok: a server is running on the data folder "${folder}"`;
    assert.deepEqual(await found(), [runs]);
    const no = () => Promise.resolve(false);
    const stands = `warning: no server is running on the data folder "${folder}"`;
    assert.deepEqual(await found(no), [
      `${stands}, and the passphrase of its keys is not in the home`,
    ]);
    fs.writeFileSync(home.passphrasePath, "secret\n", { mode: 0o600 });
    assert.deepEqual(await found(no), [stands]);
    const refused = () => Promise.reject(new PkiError("refused", "cannot ask the server"));
    assert.deepEqual(await found(refused), ["problem (refused): cannot ask the server"]);

    home.pin(ca.judging.anchor, "x:1");
    assert.deepEqual(await found(), [runs]);
    root(other.root.certificate.der);
    assert.deepEqual(await found(), [
      runs,
      "warning: the server in this home has another root than the one that is pinned",
    ]);
    root(ca.root.certificate.der);
    if (process.platform === "win32") return;
    const key = join(folder, "issuing.key");
    fs.writeFileSync(key, "", { mode: 0o644 });
    fs.chmodSync(home.passphrasePath, 0o640);
    const open = (path: string, mode: string) =>
      `problem (storage): others can read or enter "${path}" of the server (mode ${mode})`;
    assert.deepEqual(await found(), [runs, open(home.passphrasePath, "640"), open(key, "644")]);
  }));
