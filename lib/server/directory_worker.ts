/**
 * Entry of the directory worker: opens the state, owns it, and gives each connection's channel a
 * session. Writes the snapshot when the server stops.
 */

import process from "node:process";
import { type MessagePort, parentPort } from "node:worker_threads";
import { encodeHex } from "../base/bytes.ts";
import { answerCalls, Caller } from "../base/call.ts";
import { messageOf, PkiError, reportError } from "../base/errors.ts";
import { fileExists, makeFolder, readText, writeFileAtomic } from "../base/files.ts";
import type { Request } from "../protocol/messages.ts";
import { loadOpaque } from "../protocol/opaque.ts";
import { loadSqlite } from "../store/database.ts";
import type { Journal } from "../store/journal.ts";
import { openState } from "../store/open_state.ts";
import type { State } from "../store/state.ts";
import { checkRoot, domainOf } from "../x509/chain.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { decryptText } from "../x509/keys.ts";
import { encodeCertificatesPem, parsePemBlock } from "../x509/pem.ts";
import type { PasswordSecrets } from "./accounts.ts";
import { Directory } from "./directory.ts";
import { certificateCopy, serverFiles } from "./files.ts";
import type { FromAuthority, FromDirectory, Settled, ToAuthority, ToDirectory } from "./ports.ts";

interface Running {
  readonly directory: Directory;
  readonly state: State;
  readonly journal: Journal;
  readonly snapshotPath: string;
}

let running: Running | undefined;
const channels = new Map<number, MessagePort>();

function readCertificate(path: string): Uint8Array {
  return parsePemBlock(readText(path), ["CERTIFICATE"], path);
}

async function start({ folder, passphrase, authority }: ToDirectory & { type: "start" }) {
  await Promise.all([loadOpaque(), loadSqlite()]);
  const files = serverFiles(folder);
  const root = checkRoot(readCertificate(files.rootCertificate), Date.now());
  const issuing = parseCertificate(readCertificate(files.issuingCertificate));
  const secrets = JSON.parse(
    await decryptText(readText(files.opaqueKey), passphrase, files.opaqueKey),
  ) as PasswordSecrets;
  const { state, journal, warnings, isReplayed } = await openState(
    files.log,
    files.snapshot,
  );
  // Its first entry is the server's own certificate, which is written after it. Not by whether the log
  // is new: a start that has refused here has left an empty one behind.
  if (journal.size === 0 && fileExists(files.serverCertificate)) {
    throw new PkiError("storage", `cannot start: the log "${files.log}" is missing or empty`, {
      hint: "entries were lost; put the whole log back in its place, from a backup",
    });
  }
  const saveCopy = (id: string, certificates: readonly Uint8Array[]) =>
    // Not synced: after an unclean end the log makes the copies again.
    writeFileAtomic(certificateCopy(files, id), encodeCertificatesPem(certificates), {
      isDurable: false,
    });
  makeFolder(files.certificates);
  if (isReplayed) {
    // Whoever died before us may have died between the log and the copy.
    for (const { id, der } of state.newestCertificates()) saveCopy(id, [der, issuing.der]);
  }
  const caller = new Caller<ToAuthority, FromAuthority>(authority);
  const certify = async (question: ToAuthority) => {
    const { certificate } = await caller.ask(question);
    if (!certificate) {
      throw new PkiError("internal", "the authority answered without a certificate");
    }
    return certificate;
  };
  const directory = new Directory({
    root,
    issuing,
    domain: domainOf(issuing),
    secrets,
    state,
    append: (entry) => journal.append(entry),
    certifyUser: (id, csr) => certify({ type: "certify-user", id, csr }),
    certifyServer: (spki) => certify({ type: "certify-server", spki }),
    saveCopy,
  });
  running = { directory, state, journal, snapshotPath: files.snapshot };
  return { warnings };
}

function open({ directory }: Running, { channel, port, visitor }: ToDirectory & { type: "open" }) {
  const session = directory.openSession(visitor);
  channels.set(channel, port);
  port.on("message", async (request: Request) => {
    const { seq } = request;
    try {
      const answer = await session.handle(request);
      port.postMessage({ seq, outcome: { ok: true, answer } } satisfies Settled);
    } catch (error) {
      const report = reportError(error);
      if (report.code === "INTERNAL" || report.code === "STORAGE") {
        process.stderr.write(`pki: error: ${messageOf(error)}\n`);
      }
      port.postMessage({ seq, outcome: { ok: false, error: report } } satisfies Settled);
    }
  });
}

async function stop({ journal, state, snapshotPath }: Running): Promise<void> {
  await journal.close();
  const position = { size: journal.size, root: encodeHex(journal.treeRoot()) };
  writeFileAtomic(snapshotPath, state.encodeSnapshot(position));
  state.close();
}

async function answer(question: ToDirectory): Promise<FromDirectory> {
  if (question.type === "start") return await start(question);
  if (!running) throw new PkiError("internal", "the directory has not started");
  switch (question.type) {
    case "open":
      open(running, question);
      return {};
    case "closed":
      channels.get(question.channel)?.close();
      channels.delete(question.channel);
      return {};
    case "certify-server":
      return { certificate: await running.directory.certifyServer(question.spki) };
    case "stop":
      await stop(running);
      return {};
  }
}

answerCalls(parentPort as MessagePort, answer);
