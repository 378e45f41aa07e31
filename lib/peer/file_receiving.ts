/**
 * Receives files over a line, from the offer to the last answer: has somebody decide about the offer,
 * stores what comes, and says what became of each file. What may come when is decided in
 * `incoming_files.ts`, what files are called in `file_store.ts`; questions and bars are the command's
 * matter.
 */

import { PkiError, reportError, systemCodeOf } from "../base/errors.ts";
import { printable } from "../base/printable.ts";
import type { FileControl } from "../protocol/peer_messages.ts";
import type {
  IncomingEvent,
  IncomingFiles,
  Offer,
  SenderMessage,
} from "../protocol/incoming_files.ts";
import { type FileDescription, SMALL_FILE_BYTES_MAX } from "../protocol/outgoing_files.ts";
import type { FileStore } from "./file_store.ts";
import { FILES_MAX } from "./file_walk.ts";
import { IncomingFile } from "./incoming_file.ts";

/** Files whose content is on its way to the disk, at most. */
const FINISHING_MAX = 64;

/** What became of a transfer. */
export interface Received {
  readonly offer: Offer;
  /** Files, without folders, that are stored or were there. */
  readonly files: number;
  readonly folders: number;
  /** Of the files that are stored or were there. */
  readonly bytes: number;
  /** Files among them that were there. */
  readonly there: number;
  readonly failed: number;
  /** Where it is: each file or folder that was sent by itself, in order. */
  readonly locations: readonly string[];
  /** Of the file, base64, if it is a single one. */
  readonly sha256: string | undefined;
  /** Why nothing more comes, if not all of it came. */
  readonly end: PkiError | undefined;
}

export type ReceivingEvent =
  | { readonly type: "accepted"; readonly offer: Offer }
  | { readonly type: "declined"; readonly offer: Offer; readonly error: PkiError }
  /** The sender is gone, or has changed its mind, before the offer was decided about. */
  | { readonly type: "withdrawn"; readonly offer: Offer }
  /** A file begins, so many bytes of which are there. */
  | { readonly type: "begun"; readonly path: readonly string[]; readonly had: number }
  | { readonly type: "progress"; readonly bytes: number }
  | {
    readonly type: "stored";
    readonly path: readonly string[];
    readonly location: string;
    readonly wasThere: boolean;
  }
  | { readonly type: "failed"; readonly path: readonly string[]; readonly error: PkiError }
  | { readonly type: "over"; readonly received: Received };

export interface ReceivingOptions {
  readonly line: { sendFileControl(control: FileControl): void };
  /** The line's. */
  readonly machine: IncomingFiles;
  /** Where a transfer is stored. */
  readonly openStore: () => FileStore;
  /**
   * Resolves if the offer is accepted; `signal` says that it is offered no more.
   * @throws {PkiError} why it is declined, as the sender hears it
   */
  readonly decide: (offer: Offer, signal: AbortSignal) => Promise<void>;
  readonly on: (event: ReceivingEvent) => void;
}

/** What a transfer has come to. */
interface Tally {
  readonly offer: Offer;
  readonly store: FileStore;
  files: number;
  folders: number;
  bytes: number;
  there: number;
  failed: number;
  progress: number;
  sha256: string | undefined;
  /** By the first names of paths, in the order in which these came. */
  readonly locations: Map<string, string | undefined>;
}

interface Current {
  readonly number: number;
  readonly description: FileDescription;
  readonly incoming: IncomingFile;
}

export class FileReceiving {
  readonly #options: ReceivingOptions;
  readonly #finishing = new Set<Promise<void>>();
  #tally: Tally | undefined;
  #current: Current | undefined;
  /** Of an offer that is not answered: ended when it is offered no more. */
  #offer = new AbortController();
  #answered = Promise.resolve();

  constructor(options: ReceivingOptions) {
    this.#options = options;
  }

  /**
   * Takes what the sender says; resolves when it can take more.
   * @throws {PkiError} `protocol`
   */
  async hear(message: SenderMessage): Promise<void> {
    const event = this.#options.machine.receive(message);
    if (event) await this.#take(event);
  }

  /** Takes bytes of a file; resolves when it can take more. @throws {PkiError} `protocol` */
  async bytes(file: number, bytes: Uint8Array): Promise<void> {
    if (!this.#options.machine.bytes(file, bytes.length)) return;
    const current = this.#current;
    if (!current) return;
    await this.#trying(current, () => current.incoming.write(bytes));
    this.#progress(bytes.length);
  }

  /** Ends a transfer that is under way, with a word to the sender. */
  async cancel(reason: PkiError): Promise<void> {
    const cancel = this.#options.machine.cancel(reason.message);
    if (cancel) this.#options.line.sendFileControl(cancel);
    await this.stop(reason);
  }

  /** The line has ended: what is there of a file is kept for another try. */
  async stop(reason: PkiError): Promise<void> {
    const isAsking = this.#options.machine.state === "offered";
    this.#offer.abort();
    if (isAsking) await this.#answered;
    const [current, tally] = [this.#current, this.#tally];
    this.#current = undefined;
    this.#tally = undefined; // answers have nowhere to go, from here on
    await current?.incoming.abandon();
    if (tally) await this.#conclude(tally, reason);
  }

  async #take(event: IncomingEvent): Promise<void> {
    switch (event.type) {
      case "offered":
        // Not waited for: the sender may take the offer back meanwhile.
        this.#answered = this.#offered(event.offer);
        return;
      case "begun":
        return await this.#begun(event.file, event.description);
      case "from": {
        const current = this.#current;
        if (!current) return;
        const { incoming, description } = current;
        await this.#trying(current, () => incoming.start(event.offset));
        this.#options.on({ type: "begun", path: description.path, had: event.offset });
        return this.#progress(event.offset);
      }
      case "ended":
        return await this.#ended(event);
      case "done":
        return await this.#done();
      case "cancelled":
        return await this.stop(
          new PkiError("refused", `the sender has ended it: ${printable(event.message)}`),
        );
    }
  }

  async #offered(offer: Offer): Promise<void> {
    const { machine, line, openStore, decide, on } = this.#options;
    const { signal } = this.#offer = new AbortController();
    const isOpen = () => machine.state === "offered" && !signal.aborted;
    try {
      const store = openStore();
      await checkRoom(offer, store);
      if (!isOpen()) return on({ type: "withdrawn", offer }); // nobody is asked about it
      await decide(offer, signal);
      if (!isOpen()) return on({ type: "withdrawn", offer });
      this.#tally = {
        offer,
        store,
        files: 0,
        folders: 0,
        bytes: 0,
        there: 0,
        failed: 0,
        progress: 0,
        sha256: undefined,
        locations: new Map(),
      };
      on({ type: "accepted", offer });
      line.sendFileControl(machine.accept());
    } catch (thrown) {
      if (!isOpen()) return on({ type: "withdrawn", offer });
      const error = asPkiError(thrown);
      const { code, message } = tellable(error);
      line.sendFileControl(machine.decline(code, message));
      on({ type: "declined", offer, error });
    }
  }

  async #begun(number: number, description: FileDescription): Promise<void> {
    const { machine, line } = this.#options;
    const tally = this.#tally;
    if (!tally) return;
    const isOn = () => this.#tally === tally; // unless we cancel meanwhile
    const [top = ""] = description.path;
    if (!tally.locations.has(top)) tally.locations.set(top, undefined);
    try {
      if (description.kind === "folder") {
        const location = await tally.store.makeFolder(description);
        tally.folders++;
        note(tally, description, location);
        if (isOn()) line.sendFileControl(machine.stored(number));
        return;
      }
      const incoming = await IncomingFile.begin(tally.store, description);
      if (!isOn()) return;
      const current = { number, description, incoming };
      this.#current = current;
      // Reading what is there may take long; the sender waits for it, and may cancel.
      if (description.size > SMALL_FILE_BYTES_MAX) void this.#sayWhatIsThere(current);
    } catch (error) {
      if (isOn()) this.#fail(number, description, error);
    }
  }

  async #sayWhatIsThere(current: Current): Promise<void> {
    const { machine, line } = this.#options;
    await this.#trying(current, async () => {
      const { bytes, sha256 } = await current.incoming.have();
      if (this.#current === current) line.sendFileControl(machine.have(bytes, sha256));
      else await current.incoming.abandon();
    });
  }

  async #ended({ sha256, isWhole }: Extract<IncomingEvent, { type: "ended" }>): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    if (!current) return;
    const finished = this.#finish(current, { sha256, isWhole });
    this.#finishing.add(finished);
    void finished.then(() => this.#finishing.delete(finished));
    if (this.#finishing.size >= FINISHING_MAX) await Promise.race(this.#finishing);
  }

  async #finish(
    { number, description, incoming }: Current,
    { sha256, isWhole }: { readonly sha256: string; readonly isWhole: boolean },
  ): Promise<void> {
    const { machine, line, on } = this.#options;
    const tally = this.#tally;
    try {
      const { location, wasThere } = await incoming.finish(sha256, isWhole);
      if (!tally) return;
      tally.files++;
      tally.bytes += description.size;
      if (wasThere) tally.there++;
      note(tally, description, location);
      tally.sha256 = tally.files === 1 ? sha256 : undefined;
      on({ type: "stored", path: description.path, location, wasThere });
      if (this.#tally === tally) line.sendFileControl(machine.stored(number));
    } catch (error) {
      if (this.#tally === tally) this.#fail(number, description, error);
    }
  }

  /** Does something for the current file; if that fails, the file has failed and nothing else. */
  async #trying(current: Current, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#current === current) {
        this.#current = undefined;
        this.#fail(current.number, current.description, error);
      }
      await current.incoming.abandon();
    }
  }

  #fail(number: number, { path }: FileDescription, thrown: unknown): void {
    const { machine, line, on } = this.#options;
    const error = asPkiError(thrown);
    const { code, message } = tellable(error);
    if (this.#tally) this.#tally.failed++;
    line.sendFileControl(machine.failed(number, code, message));
    on({ type: "failed", path, error });
  }

  #progress(more: number): void {
    const tally = this.#tally;
    if (!tally) return;
    tally.progress += more;
    this.#options.on({ type: "progress", bytes: tally.progress });
  }

  /** Everything has come; what is still on its way to the disk is answered. */
  async #done(): Promise<void> {
    const tally = this.#tally;
    await Promise.all(this.#finishing);
    if (!tally || this.#tally !== tally) return; // the line has ended meanwhile
    this.#tally = undefined;
    await this.#conclude(tally, undefined);
  }

  /** Nothing more comes of the transfer. */
  async #conclude(tally: Tally, end: PkiError | undefined): Promise<void> {
    await Promise.all(this.#finishing);
    let failure = end;
    try {
      await tally.store.finishFolders();
    } catch (error) {
      failure ??= asPkiError(error);
    }
    const { store: _store, progress: _progress, ...counts } = tally;
    const locations = [...tally.locations.values()].filter((where) => where !== undefined);
    this.#options.on({ type: "over", received: { ...counts, locations, end: failure } });
  }
}

/** Where what a path begins with is stored. */
function note({ locations, store }: Tally, { path }: FileDescription, location: string): void {
  const [top = ""] = path;
  locations.set(top, path.length === 1 ? location : locations.get(top) ?? store.topOf(path));
}

/** @throws {PkiError} `refused` for too many files, `storage` if there is not enough room */
async function checkRoom({ files, bytes }: Offer, store: FileStore): Promise<void> {
  if (files > FILES_MAX) {
    throw new PkiError("refused", `more than ${FILES_MAX} files at once`);
  }
  const free = await store.freeBytes();
  // What earlier tries have left needs no more room; it is looked for only where that decides.
  if (free === undefined || bytes <= free || bytes <= free + await store.bytesThere()) return;
  throw noRoom();
}

function noRoom(): PkiError {
  return new PkiError("storage", "there is not enough room for it", {
    hint: "free some space, or receive into another folder with --dir",
  });
}

function asPkiError(thrown: unknown): PkiError {
  return thrown instanceof PkiError
    ? thrown
    : new PkiError("internal", "something failed inside", { cause: thrown });
}

/** What the sender hears: that a disk is full, and no more about it. */
function tellable(error: PkiError): { readonly code: string; readonly message: string } {
  const { code, message } = reportError(error);
  if (error.kind !== "storage") return { code, message };
  const system = systemCodeOf(error.cause);
  const isFull = error.cause === undefined || system === "ENOSPC" || system === "EDQUOT";
  return { code, message: isFull ? "there is not enough room" : "it cannot be written there" };
}
