/**
 * Entry of the directory worker: opens the state and the log, owns them, and gives each connection's
 * channel a session. Has snapshots taken while the server runs, and takes one when it stops.
 */

import * as fs from "node:fs";
import { type MessagePort, parentPort } from "node:worker_threads";
import { answerCalls } from "../base/call.ts";
import { messageOf, packError, PkiError } from "../base/errors.ts";
import { readText } from "../base/files.ts";
import { SERVER_LIMITS } from "../base/server_limits.ts";
import { loadOpaque } from "../protocol/opaque.ts";
import { loadSqlite } from "../store/database.ts";
import { hasAccounts } from "../store/accounts.ts";
import { diskFiles, replaceFile } from "../store/disk.ts";
import type { LogIndex } from "../store/log_index.ts";
import { lost } from "../store/open_state.ts";
import type { SignedLog } from "../store/signed_log.ts";
import { encodeSnapshot, missingCopiesOf } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../x509/certificate.ts";
import { checkRoot, domainOf } from "../x509/chain.ts";
import { decryptText } from "../x509/keys.ts";
import { parsePemBlock } from "../x509/pem.ts";
import { parseSecrets } from "./accounts.ts";
import { finishDeletions } from "./account_orders.ts";
import { callAuthority } from "./authority_port.ts";
import { CensusTaker } from "./census.ts";
import { CertificateCopies } from "./copies.ts";
import { Directory } from "./directory.ts";
import { carryOut } from "./directory_orders.ts";
import { reportDirectory } from "./directory_report.ts";
import { type ServerFiles, serverFiles } from "./files.ts";
import { allIssuers, issuerFiles, issuerName, keyIdHex, loadIssuers } from "./issuers.ts";
import { type OpenedLog, openLog } from "./open_log.ts";
import { type EventLog, includesLevel, type LogLevel } from "./log.ts";
import { DelayMeasure, DirectoryMeasures } from "./measures.ts";
import { networksOf } from "./network.ts";
import type {
  DirectoryEvent,
  DirectoryLimits,
  DurableLog,
  FromDirectory,
  ToDirectory,
} from "./ports.ts";
import { RevocationLists } from "./revocation_lists.ts";
import { serveSession } from "./session_port.ts";
import { SnapshotKeeper } from "./snapshot_keeper.ts";
import { loadSuccessions } from "./successions.ts";
import { logIssuers, Takeover } from "./takeover.ts";
import { Turns } from "./turns.ts";

interface Running {
  readonly directory: Directory;
  readonly state: State;
  readonly index: LogIndex;
  readonly log: SignedLog;
  readonly copies: CertificateCopies;
  readonly snapshots: SnapshotKeeper;
  readonly lists: RevocationLists;
  readonly census: CensusTaker;
  readonly delay: DelayMeasure;
  readonly root: Certificate;
  readonly takeover: Takeover;
  readonly files: ServerFiles;
  readonly warn: (text: string) => void;
  /** A connection worker has posted what none of ours does. */
  readonly onBroken: (why: string) => void;
  /** The session of a channel was ended from here. */
  readonly onSessionEnded: (channel: number) => void;
}

let running: Running | undefined;
let logLevel: LogLevel = "notice";
/** Requests of all connections wait here. */
const turns = new Turns({ atWorkMax: SERVER_LIMITS.requestsAtWork.standard });
const channels = new Map<
  number,
  { readonly port: MessagePort; readonly close: (code: string | undefined) => void }
>();

function configureTurns({ requestsAtWork, addressesPerSite }: DirectoryLimits): void {
  turns.configure({ atWorkMax: requestsAtWork, groupTurns: addressesPerSite });
}

function readCertificate(path: string): Uint8Array {
  return parsePemBlock(readText(path), ["CERTIFICATE"], path);
}

async function start(question: ToDirectory & { type: "start" }): Promise<FromDirectory> {
  const { folder, passphrase, authorities, witness, acceptsLoss } = question;
  const { rootKeyPath, rootPassphrase, registration } = question;
  const tell = (event: DirectoryEvent) => question.events.postMessage(event);
  const warn = (text: string) => tell({ type: "warning", text });
  const onBroken = (why: string) => {
    const text = `a connection worker broke the rules (${why}); its session was ended`;
    tell({ type: "broken-worker", text });
  };
  const onSessionEnded = (channel: number) => tell({ type: "session-ended", channel });
  logLevel = question.logLevel;
  configureTurns(question.limits);
  const events: EventLog = {
    isLogged: (level) => includesLevel(logLevel, level),
    log: (event) => {
      if (includesLevel(logLevel, event.level)) tell({ type: "event", event });
    },
  };
  await Promise.all([loadOpaque(), loadSqlite()]);
  const files = serverFiles(folder);
  const root = checkRoot(readCertificate(files.rootCertificate), Date.now());
  const domain = domainOf(parseCertificate(readCertificate(files.issuingCertificate)));
  const issuers = loadIssuers(files, domain);
  const secrets = parseSecrets(
    await decryptText(readText(files.opaqueKey), passphrase, files.opaqueKey),
    files.opaqueKey,
  );
  const measures = new DirectoryMeasures();
  const opened = await openLog({
    ...{ files, root, domain, passphrase, witness, acceptsLoss, warn },
    ...(rootKeyPath === undefined ? {} : { rootKeyPath }),
    ...(rootPassphrase === undefined ? {} : { rootPassphrase }),
    nowMs: Date.now(),
    onSyncTime: measures.synced,
  });
  const { log, state, index, key, snapshotSize } = opened;
  const copies = new CertificateCopies({
    ...{ files, state, log, warn },
    issuerOf: ({ issuerKeyId }) =>
      allIssuers(running?.directory.issuers ?? issuers)
        .find((issuer) => keyIdHex(issuer) === issuerKeyId)?.der,
  });
  // Whoever died before us may have died between the log and the copy.
  const missingCopies = missingCopiesOf(state);
  if (index.size > snapshotSize || missingCopies.length > 0) {
    void copies.mend(snapshotSize, missingCopies);
  }
  const snapshots = makeSnapshotKeeper(opened, { files, copies, warn });
  snapshots.consider();
  const signer = callAuthority(authorities);
  const lists = new RevocationLists({ state, authority: signer, warn });
  const directory = new Directory({
    root,
    issuers,
    domain,
    secrets,
    state,
    log,
    logStatement: key.statement,
    successions: loadSuccessions(files),
    authority: signer,
    registration,
    workRates: question.limits,
    sessionBounds: question.limits,
    events,
    measures,
    onRevoked: (issuerKeyId) => lists.changed(issuerKeyId),
    readList: (question) => lists.read(question),
    saveCopy: (id, certificates) => copies.save(id, certificates),
    removeCopy: (id) => copies.remove(id),
    // Not at once: the copy of what has just been logged comes after this.
    onChange: () => {
      if (snapshots.isDue || snapshots.mustForget) setImmediate(() => snapshots.consider());
    },
    // This thread ends by it: what its tables hold must get into no snapshot.
    onFault: (error) =>
      void setImmediate(() => {
        throw error;
      }),
    onLoss: async (loss, checkpoint) => {
      // For the next start, which must not forget it again.
      await log.keepLoss(checkpoint).catch((error) => warn(messageOf(error)));
      tell({ type: "fault", error: packError(lost(`${loss} (a client's checkpoint)`)) });
    },
  });
  const takeover = new Takeover({
    ...{ directory, files, domain },
    keepLists: () => keepLists({ directory, lists, root, files }),
  });
  const census = new CensusTaker({ database: state.database, warn });
  const delay = new DelayMeasure();
  running = {
    ...{ directory, state, index, log, copies, snapshots, lists, root, files, warn },
    ...{ census, delay, takeover, onBroken, onSessionEnded },
  };
  await logIssuers(directory, issuers);
  await keepLists(running);
  await finishDeletions(directory);
  return { hasAccounts: hasAccounts(state.database) };
}

/** The lists of all CAs are made and kept from now on. */
async function keepLists(
  { directory: { issuers }, lists, root, files }: Pick<
    Running,
    "directory" | "lists" | "root" | "files"
  >,
): Promise<void> {
  await lists.use(
    allIssuers(issuers).map((issuer) => ({
      fingerprint: fingerprintOf(issuer.der),
      issuerKeyId: keyIdHex(issuer),
      path: issuer === issuers.current
        ? files.issuingList
        : issuerFiles(files, issuerName(issuer)).list,
    })),
    { rootDer: root.der, path: files.rootList },
  );
}

function makeSnapshotKeeper(
  { log, index, snapshotSize, snapshotBytes }: OpenedLog,
  { files, copies, warn }: Pick<Running, "files" | "copies" | "warn">,
): SnapshotKeeper {
  const covered = snapshotSize === 0 ? 0 : bytesBefore(index, snapshotSize);
  return new SnapshotKeeper({
    snapshotBytes,
    coveredBytes: covered,
    takenMs: fs.statSync(files.snapshot, { throwIfNoEntry: false })?.mtimeMs,
    logBytes: () => log.bytes,
    redactions: () => log.redactions,
    describe: () => {
      copies.saveWaiting();
      return {
        logFolder: files.log,
        snapshotPath: files.snapshot,
        segments: describeSegments(index),
        size: index.size,
        root: index.tree.root(),
        // A snapshot stands for the copies too: behind it only these are looked at again.
        missingCopies: copies.missing,
      };
    },
    warn,
  });
}

/** How long the log was when it had so many entries. */
function bytesBefore(index: LogIndex, size: number): number {
  if (size === index.size) return index.bytes;
  const { segment, offset } = index.placeOf(size);
  const earlier = index.segments.filter(({ first }) => first < segment);
  return earlier.reduce((sum, { bytes }) => sum + bytes, offset);
}

function describeSegments(index: LogIndex) {
  return index.segments.map(({ first, bytes }) => ({ first, bytes }));
}

function describe({ log, index }: Running): DurableLog {
  const { checkpoint, size, redactions } = log;
  return { checkpoint, size, segments: describeSegments(index), redactions };
}

function open(
  { directory, onBroken, onSessionEnded }: Running,
  { channel, port, visitor }: ToDirectory & { type: "open" },
) {
  const { address } = visitor;
  const session = directory.openSession(
    { ...visitor, connection: channel },
    (end) => {
      port.postMessage(end);
      onSessionEnded(channel);
    },
  );
  // Whose turn it is: whoever has not logged in waits with others at the same address or site.
  const { home, site } = networksOf(address);
  const stranger = { key: home, group: site };
  const openedMs = performance.now();
  const told = { connection: channel, address };
  directory.events.log({ level: "info", event: "connection.accepted", fields: told });
  const close = (code: string | undefined) => {
    directory.closeSession(session);
    port.close();
    const seconds = Math.round(performance.now() - openedMs) / 1000;
    const fields = {
      ...told,
      seconds,
      ...(session.user === undefined ? {} : { id: session.user }),
      ...(code === undefined ? {} : { code }),
    };
    directory.events.log({ level: "info", event: "connection.closed", fields });
  };
  channels.set(channel, { port, close });
  serveSession(port, session, {
    onBroken,
    inTurn: (work) => turns.do(session.user === undefined ? stranger : { key: session.user }, work),
    measures: directory.measures,
  });
}

async function stop(
  { log, state, index, copies, snapshots, lists, census, delay, files, warn }: Running,
): Promise<void> {
  delay.stop();
  await census.stop();
  await lists.close();
  copies.close();
  await log.close();
  await snapshots.close();
  if (!snapshots.isCurrent) {
    // The server has stopped: nobody waits, and nothing depends on it.
    await replaceFile(
      diskFiles,
      files.snapshot,
      encodeSnapshot({ state, index }, {
        forgets: snapshots.mustForget,
        missingCopies: copies.missing,
      }),
    ).catch((error) =>
      warn(`no snapshot was written: ${messageOf(error)}; the log has everything`)
    );
  }
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
      channels.get(question.channel)?.close(question.code);
      channels.delete(question.channel);
      return {};
    case "certify-server":
      return { certificate: await running.directory.certifyServer(question.spki) };
    case "ping":
      return {};
    case "describe":
      return { durable: describe(running) };
    case "measure":
      return { measured: await reportDirectory({ ...running, sessions: channels.size, turns }) };
    case "admin":
      return { answer: await carryOut(running.directory, question.request) };
    case "configure":
      running.directory.passwords.registration = question.registration;
      running.directory.work.configure(question.limits);
      running.directory.userSessions.configure(question.limits);
      configureTurns(question.limits);
      logLevel = question.logLevel;
      return {};
    case "reload":
      return { certificate: (await running.takeover.run()).current.der };
    case "stop":
      await stop(running);
      return {};
  }
}

answerCalls(parentPort as MessagePort, answer);
