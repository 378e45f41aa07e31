/** `pki receive`: waits for files that people send. */

import { resolve } from "node:path";
import process from "node:process";
import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { makeFolder } from "../lib/base/files.ts";
import { FolderMemory } from "../lib/client/received_folders.ts";
import type { Received } from "../lib/peer/file_receiving.ts";
import { FileStore } from "../lib/peer/file_store.ts";
import type { Line } from "../lib/peer/line.ts";
import { listenForPeers } from "../lib/peer/listener.ts";
import type { Peer } from "../lib/peer/ports.ts";
import {
  ANNOUNCE_DESCRIPTION,
  ANNOUNCE_FLAGS,
  type AnnounceFlags,
  checkAnnounceFlags,
  startAnnouncing,
} from "./announcing.ts";
import { Consent, type ConsentFlags } from "./consent.ts";
import { ContactCheck } from "./contact_check.ts";
import type { PkiContext } from "./context.ts";
import { announceStatus, endEvent, teller } from "./converse.ts";
import { fileOwner } from "./file_owner.ts";
import { aborted, GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { LISTENING_FLAGS, type ListeningFlags, parseAllowed } from "./listening_flags.ts";
import {
  CONTACTS_DESCRIPTION,
  DEAD_AFTER_FLAG,
  OFFLINE_DESCRIPTION,
  OFFLINE_FLAG,
  type PeerFlags,
  takePart,
} from "./participant.ts";
import { parseBytes } from "./quantity.ts";
import { describeReceived, ReceivingLine } from "./receiving.ts";
import { Reception } from "./reception.ts";
import { TransferBar } from "./transfer_bar.ts";

export interface ReceiveFlags extends PeerFlags, ConsentFlags, AnnounceFlags, ListeningFlags {
  readonly dir?: string;
  readonly once?: boolean;
}

/** With `--once`: how long a sender whose line was cut has to call again. */
const GO_ON_MS = 60_000;

/** @throws {PkiError} if not all of a transfer is stored */
function checkReceived({ end, failed, offer, files, folders }: Received): void {
  if (end) throw end;
  if (failed > 0) {
    throw new PkiError("storage", `${failed} of ${offer.files} files could not be stored`, {
      hint: "see above why; what arrived of them is kept: have it sent again to go on",
    });
  }
  if (files + folders < offer.files) {
    throw new PkiError("truncated", `${offer.files - files - folders} files were not sent`);
  }
}

export async function receive(context: PkiContext, flags: ReceiveFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const allowed = parseAllowed(flags.allow);
  checkAnnounceFlags(flags);
  const bar = new TransferBar(surroundings);
  const tell = teller(surroundings, (line) => bar.note(line));
  const consent = new Consent(surroundings, { flags, tell });
  const folder = resolve(flags.dir ?? ".");
  makeFolder(folder);
  const participant = await takePart(surroundings, flags);
  const { identity, isOffline, status, askStatus } = participant;
  await announceStatus(participant, tell);
  const memory = new FolderMemory(surroundings.home);
  const umask = process.umask();
  const openStore = ({ id }: Peer) =>
    new FileStore({
      folder,
      owner: fileOwner(identity.anchor.root.der, id),
      received: memory,
      umask,
    });
  const reception = new Reception(tell);
  const contacts = new ContactCheck({ surroundings, identity, tell });
  const receivings = new WeakMap<Line, ReceivingLine>();
  /** That of the line that is open. */
  let current: ReceivingLine | undefined;
  const over = Promise.withResolvers<void>();
  /** The end of the line over which the last transfer came. */
  let farewell: Promise<void> | undefined;
  /** With `--once`: the transfer has been. */
  let isDone = false;
  /** With `--once`: what ends it if a transfer that was cut does not go on. */
  let giveUp: ReturnType<typeof setTimeout> | undefined;
  let loss: PkiError | undefined;

  const onReceived = (peer: Peer, received: Received) => {
    const { offer, files, folders, bytes } = received;
    if (received.end) {
      consent.wasCut(peer, {
        name: offer.files === 1 ? offer.name : undefined,
        files: offer.files - files - folders,
        bytes: offer.bytes - bytes,
      });
    }
    const [json, text] = describeReceived(peer, received);
    surroundings.result(json, text);
    if (!flags.once) return;
    const end = () => {
      isDone = true;
      try {
        checkReceived(received);
        over.resolve();
      } catch (error) {
        over.reject(error);
      }
    };
    if (!received.end || received.end.kind === "refused" || context.signal.aborted) return end();
    tell(
      { event: "waiting", peer: peer.id },
      `waiting ${GO_ON_MS / 1000} s for ${peer.id} to go on`,
    );
    giveUp = setTimeout(end, GO_ON_MS);
  };

  const listening = await listenForPeers({
    host: flags.host,
    port: flags.port,
    identity,
    mode: "files",
    greeting: () => participant.greeting(),
    isOffline,
    handle: ({ line }) => {
      const receiving = new ReceivingLine({
        surroundings,
        tell,
        bar,
        askStatus,
        admit: async (peer) => {
          if (allowed && !allowed.includes(peer.id)) {
            throw new PkiError("refused", `"${peer.id}" is not among those who may send`);
          }
          await reception.admit(peer, line());
        },
        openStore,
        decide: (peer, offer, signal) => consent.decide(peer, offer, signal),
        onAccepted: () => clearTimeout(giveUp),
        onReceived,
      }, line);
      const { handlers } = receiving;
      return contacts.guard(line, {
        ...handlers,
        onOpen: (peer, opening) => {
          receivings.set(line(), receiving);
          current = receiving;
          farewell = line().over.catch(() => {});
          reception.opened(line());
          handlers.onOpen(peer, opening);
        },
      });
    },
    onOver: async (line, error) => {
      await receivings.get(line)?.over(error);
      const isTransfer = reception.over(line, () => {
        const peer = current?.peer?.id;
        current = undefined;
        tell(
          endEvent(peer, error),
          error ? `${peer} is gone: ${error.message}` : `${peer} has hung up`,
        );
        if (loss) over.reject(loss);
        else if (!isDone) tell({ event: "listening", port: listening.port }, "waiting again");
      });
      if (!isTransfer && error && !["busy", "interrupted"].includes(error.kind)) {
        tell(
          { event: "turned-away", kind: error.kind, message: error.message },
          `turned a caller away: ${error.message}${error.hint ? ` (${error.hint})` : ""}`,
        );
      }
    },
  });
  tell(
    { event: "listening", host: flags.host, port: listening.port, id: identity.id },
    `${identity.id} waits for files on port ${listening.port}, for ${folder}; ` +
      `others send with: pki send HOST:${listening.port} FILE`,
  );
  const stopAnnouncing = startAnnouncing(surroundings, {
    ...{ flags, identity, listening, tell },
    command: `pki send ${identity.id} FILE`,
  });
  status?.keepFresh({
    onBack: () =>
      tell({ event: "stapled" }, "the server answers: peers need not ask it themselves"),
    onLost: (error) => {
      loss = error;
      if (!reception.isTalking) over.reject(error); // else with the end of this transfer
    },
  });
  try {
    await Promise.race([
      over.promise,
      aborted(context.signal).then(async () => {
        await current?.cancel(new PkiError("interrupted", "the receiver was stopped"));
        throw new PkiError("interrupted", "interrupted");
      }),
    ]);
    await farewell; // of a transfer that is complete
  } finally {
    clearTimeout(giveUp);
    bar.stop();
    status?.stop();
    reception.close();
    await Promise.all([stopAnnouncing(), listening.close()]);
  }
}

export const receiveCommand = buildCommand<ReceiveFlags, [], PkiContext>({
  func: async function (flags) {
    await receive(this, flags);
  },
  parameters: {
    flags: {
      dir: textFlag("Where files are stored [the folder that this runs in]", "DIR"),
      allow: textFlag("Who may send, with commas between [every user of this CA]", "NAME,…"),
      maxBytes: {
        kind: "parsed",
        parse: parseBytes,
        optional: true,
        brief: "The most that is accepted in one transfer: 500M, 20G",
        placeholder: "BYTES",
      },
      once: switchFlag("End after the first transfer"),
      ...LISTENING_FLAGS,
      ...ANNOUNCE_FLAGS,
      deadAfter: DEAD_AFTER_FLAG,
      offline: OFFLINE_FLAG,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--dir DIR] [--allow NAME,…] [--announce] [--once] [options]"],
    brief: "Wait for files that people send",
    fullDescription:
      "Waits for somebody to call with pki send, and stores what is sent. At a terminal it\n" +
      "asks before anything is stored: who it is, what and how much. Without one, and with\n" +
      "--yes, files are accepted from those named with --allow, and from nobody else.\n\n" +
      'No file is ever overwritten: what has a name that is taken becomes "report (1).pdf".\n' +
      "Names are made harmless, nothing is written outside of the folder, and a file gets\n" +
      "its name only when all of it is there and its SHA-256 is right. What is there of it\n" +
      "when the line is cut is kept, and gone on with when the same person sends it again.\n\n" +
      ANNOUNCE_DESCRIPTION +
      CONTACTS_DESCRIPTION +
      OFFLINE_DESCRIPTION +
      "Examples:\n" +
      "  pki receive --announce\n" +
      "  pki receive --dir incoming --allow bob,carol --max-bytes 20G\n" +
      "  pki receive --once --allow bob",
  },
});
