/**
 * Files in a talk: `/send` offers them, `/accept` and `/decline` answer the peer's offer, `/cancel` ends
 * what is under way. One transfer in each direction at a time; how far they are is in a row above what
 * is typed.
 */

import { join, resolve } from "node:path";
import process from "node:process";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { splitWords } from "../lib/base/words.ts";
import { FolderMemory } from "../lib/client/received_folders.ts";
import { FileReceiving, type ReceivingEvent } from "../lib/peer/file_receiving.ts";
import { type FileLine, FileSending, type SendingEvent } from "../lib/peer/file_sending.ts";
import { FileStore } from "../lib/peer/file_store.ts";
import { type SentFile, type Walk, walkFiles } from "../lib/peer/file_walk.ts";
import { IncomingFiles, type Offer } from "../lib/protocol/incoming_files.ts";
import { OutgoingFiles } from "../lib/protocol/outgoing_files.ts";
import { type FileControl, hasFiles } from "../lib/protocol/peer_messages.ts";
import { describeOffer } from "./consent.ts";
import { proposeFiles } from "./file_candidates.ts";
import { fileOwner } from "./file_owner.ts";
import type { Surroundings } from "./globals.ts";
import type { Participant } from "./participant.ts";
import { describeReceived } from "./receiving.ts";
import { describeFiles } from "./sending.ts";
import { SendingTally } from "./sending_tally.ts";
import type { TalkCommand } from "./talk_commands.ts";
import type { ExtendTalk, TalkExtension, TalkScene } from "./talk_scene.ts";
import { describeProgress, Rate } from "./transfer_bar.ts";

/** Lines about what is left out, at most. */
const LEFT_OUT_MAX = 5;
/** A row that changes is drawn at most so often. */
const DRAW_MS = 200;

export function filesInTalk(surroundings: Surroundings, participant: Participant): ExtendTalk {
  return (scene) => new TalkFiles(surroundings, { participant, scene }).extension;
}

/** How far one direction is. */
interface Progress {
  readonly title: string;
  readonly total: number;
  readonly rate: Rate;
  bytes: number;
}

class TalkFiles {
  readonly #surroundings: Surroundings;
  readonly #participant: Participant;
  readonly #scene: TalkScene;
  readonly #outgoing = new OutgoingFiles();
  readonly #receiving: FileReceiving;
  #sending: FileSending | undefined;
  /** What the peer offers, until that is answered. */
  #question:
    | { readonly accept: () => void; readonly decline: (error: PkiError) => void }
    | undefined;
  /** What is offered now took the place of another offer, and an answer may be meant for that one. */
  #isOtherOffer = false;
  #isReceiving = false;
  #sent: Progress | undefined;
  #received: Progress | undefined;
  #drawnMs = 0;

  constructor(
    surroundings: Surroundings,
    { participant, scene }: { readonly participant: Participant; readonly scene: TalkScene },
  ) {
    this.#surroundings = surroundings;
    this.#participant = participant;
    this.#scene = scene;
    this.#receiving = new FileReceiving({
      line: scene.line,
      machine: new IncomingFiles(),
      openStore: () => this.#openStore(),
      decide: (offer, signal) => this.#ask(offer, signal),
      on: (event) => this.#followReceiving(event),
    });
  }

  get extension(): TalkExtension {
    return {
      commands: this.#commands,
      handlers: {
        onFileControl: (control) => this.#hear(control),
        onFile: (file, bytes) => this.#receiving.bytes(file, bytes),
      },
      over: () => {
        const gone = new PkiError("truncated", "the talk has ended before");
        this.#sending?.stop(gone);
        void this.#receiving.stop(gone);
      },
    };
  }

  get #commands(): readonly TalkCommand[] {
    return [
      {
        name: "send",
        usage: "FILE…",
        brief: "Send files and folders; quotes hold a name with spaces together",
        candidates: (typed) => proposeFiles(typed, "any"),
        run: (rest) => this.#send(rest),
      },
      {
        name: "accept",
        brief: "Take what is offered, into this folder",
        run: () => this.#accept(),
      },
      { name: "decline", brief: "Do not take what is offered", run: () => this.#decline() },
      { name: "cancel", brief: "End the transfers that are under way", run: () => this.#cancel() },
    ];
  }

  async #hear(control: FileControl): Promise<void> {
    switch (control.type) {
      case "OFFER":
      case "FILE":
      case "FROM":
      case "FILE_END":
      case "DONE":
        return await this.#receiving.hear(control);
      case "CANCEL":
        return control.side === "sender"
          ? await this.#receiving.hear(control)
          : this.#hearAnswer(control);
      default:
        return this.#hearAnswer(control);
    }
  }

  #hearAnswer(control: Parameters<FileSending["hear"]>[0]): void {
    if (this.#sending) this.#sending.hear(control);
    else this.#outgoing.receive(control);
  }

  // Sending

  #send(rest: string): string | void {
    const { peer } = this.#scene;
    if (!hasFiles(peer.mode)) return `${peer.id} takes a stream, and no files`;
    if (this.#sending) return "files are being sent: /cancel ends that";
    let names: readonly string[];
    try {
      names = splitWords(rest);
    } catch (error) {
      return messageOf(error);
    }
    if (names.length === 0) return "say what: /send report.pdf";
    void this.#sendAll(names.map((name) => this.#expand(name)));
  }

  /** No shell has been here before us. */
  #expand(name: string): string {
    const { homeFolder } = this.#surroundings.context;
    return name === "~" || name.startsWith("~/") ? join(homeFolder, name.slice(1)) : name;
  }

  async #sendAll(names: readonly string[]): Promise<void> {
    const { peer, note } = this.#scene;
    let walk: Walk;
    try {
      walk = await walkFiles(names);
    } catch (error) {
      return note(messageOf(error));
    }
    if (this.#sending) return note("files are being sent already");
    for (const { location, why } of walk.leftOut.slice(0, LEFT_OUT_MAX)) {
      note(`left out ${printable(location)}: ${why}`);
    }
    const tally = new SendingTally(walk);
    const sending = new FileSending({
      line: this.#line,
      machine: this.#outgoing,
      peer: peer.id,
      files: walk.files,
      on: (event) => this.#followSending(event, { tally, files: walk.files }),
    });
    this.#sending = sending;
    note(`offering ${peer.id} ${describeFiles(walk.files)}`);
    try {
      await sending.run();
      const [, text] = tally.describe(peer.id);
      note(text || `nothing of it was stored by ${peer.id}`);
    } catch (error) {
      note(`not sent: ${messageOf(error)}`);
    } finally {
      this.#sending = undefined;
      this.#sent = undefined;
      this.#draw(true);
    }
  }

  /** The line, on which nothing can be sent behind a goodbye. */
  get #line(): FileLine {
    const { line, peer } = this.#scene;
    const over = () => new PkiError("truncated", `the talk with ${peer.id} has ended before`);
    return {
      sendFileControl: (control) => {
        if (!line.isOver) line.sendFileControl(control);
      },
      sendFile: async (file, bytes) => {
        await line.sendFile(file, bytes).catch(() => {
          throw over();
        });
        if (line.isOver) throw over();
      },
    };
  }

  #followSending(
    event: SendingEvent,
    { tally, files }: { readonly tally: SendingTally; readonly files: readonly SentFile[] },
  ): void {
    tally.take(event);
    switch (event.type) {
      case "accepted": {
        const total = files.reduce((sum, { size }) => sum + size, 0);
        this.#sent = { title: `to ${this.#scene.peer.id}`, total, rate: new Rate(), bytes: 0 };
        return;
      }
      case "begun":
        if (event.had > 0) this.#sent?.rate.restart();
        return;
      case "progress":
        return this.#tick(this.#sent, event.bytes);
      case "stored":
        return;
      case "failed":
        return this.#scene.note(printable(event.error.message));
    }
  }

  // Receiving

  #openStore(): FileStore {
    const { anchor } = this.#participant.identity;
    return new FileStore({
      folder: resolve("."),
      owner: fileOwner(anchor.root.der, this.#scene.peer.id),
      received: new FolderMemory(this.#surroundings.home),
      umask: process.umask(),
    });
  }

  async #ask(offer: Offer, signal: AbortSignal): Promise<void> {
    const { peer, note } = this.#scene;
    note(
      `${peer.id} offers ${describeOffer(offer)}: /accept stores it in ${resolve(".")}, ` +
        "/decline does not",
    );
    const { promise, resolve: accept, reject: decline } = Promise.withResolvers<void>();
    this.#question = { accept, decline };
    signal.addEventListener("abort", () => {
      this.#isOtherOffer = true;
      decline(new PkiError("refused", "offered no more"));
    });
    try {
      await promise;
    } finally {
      this.#question = undefined;
    }
  }

  #accept(): string | void {
    if (!this.#question) return "nothing is offered";
    if (this.#isOtherOffer) {
      this.#isOtherOffer = false;
      return "another offer was taken back before: Enter once more accepts what is offered now";
    }
    this.#question.accept();
  }

  #decline(): string | void {
    if (!this.#question) return "nothing is offered";
    this.#question.decline(new PkiError("refused", "not accepted"));
  }

  #cancel(): string | void {
    if (!this.#sending && !this.#isReceiving) return "no files are under way";
    const reason = new PkiError("interrupted", "cancelled");
    this.#sending?.cancel(reason);
    if (this.#isReceiving) void this.#receiving.cancel(reason);
  }

  #followReceiving(event: ReceivingEvent): void {
    const { peer, note } = this.#scene;
    switch (event.type) {
      case "accepted":
        this.#isReceiving = true;
        this.#received = {
          title: `from ${peer.id}`,
          total: event.offer.bytes,
          rate: new Rate(),
          bytes: 0,
        };
        return;
      case "declined":
        return note(`declined: ${event.error.message}`);
      case "withdrawn":
        return note(`${peer.id} offers it no more`);
      case "begun":
        if (event.had > 0) this.#received?.rate.restart();
        return;
      case "progress":
        return this.#tick(this.#received, event.bytes);
      case "stored":
        return;
      case "failed":
        return note(printable(event.error.message));
      case "over": {
        this.#isReceiving = false;
        this.#received = undefined;
        this.#draw(true);
        const [, text] = describeReceived(peer, event.received);
        return note(text);
      }
    }
  }

  // The row that says how far it is

  #tick(progress: Progress | undefined, bytes: number): void {
    if (!progress) return;
    progress.bytes = bytes;
    progress.rate.add(this.#surroundings.context.now(), bytes);
    this.#draw(false);
  }

  #draw(isDue: boolean): void {
    const nowMs = this.#surroundings.context.now();
    if (!isDue && nowMs - this.#drawnMs < DRAW_MS) return;
    this.#drawnMs = nowMs;
    const rows = [this.#sent, this.#received].flatMap((progress) =>
      progress ? [`${progress.title}: ${describeProgress(progress)}`] : []
    );
    this.#scene.status(rows.length === 0 ? undefined : rows.join("   "));
  }
}
