/**
 * `pki` alone, at a terminal: says who one is, at which server and until when, then runs operations by
 * name, as the system that this one replaces did. An operation is a command of the program, run as it
 * is from a shell, but with what was unlocked before: one login serves all of them.
 *
 * Start reading at {@link InteractiveSession.run}. What a line means is for `session_line.ts` to say,
 * what may follow on it for `session_completion.ts`, and how it is edited for `line_editor.ts`.
 */

import { buildCommand } from "@stricli/core";
import { join } from "node:path";
import { PkiError } from "../lib/base/errors.ts";
import { formatAddress } from "../lib/client/address.ts";
import { History } from "../lib/client/history.ts";
import type { Home } from "../lib/client/home.ts";
import { describeIdentity } from "../lib/client/identities.ts";
import { LineEditor, type TypedLine } from "../lib/client/line_editor.ts";
import type { Terminal } from "../lib/client/terminal.ts";
import { checkId } from "../lib/x509/names.ts";
import { CATALOGUE } from "./catalogue.ts";
import type { PkiContext } from "./context.ts";
import { formatError } from "./error_text.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag } from "./globals.ts";
import { runCancellable, runOperation } from "./operation.ts";
import { choosePaint } from "./paint.ts";
import { completeLine } from "./session_completion.ts";
import { sessionHelp } from "./session_help.ts";
import { interpretLine, INVITATION, isForHistory, type Meaning } from "./session_line.ts";
import { openSession, SERVER_FLAGS, type ServerFlags } from "./sign_in.ts";
import { Sitting } from "./sitting.ts";
import { describeStanding, markStanding } from "./standing.ts";

interface SessionFlags extends ServerFlags {
  readonly noHistory?: boolean;
}

/** How often a password may be mistyped at the start, as at other logins. */
const PASSWORD_TRIES = 3;
/** What keeps a server from answering, or us from believing it: what needs no server works still. */
const AWAY: readonly string[] = [
  "unreachable",
  "timeout",
  "busy",
  "truncated",
  "protocol",
  "untrusted",
];
/** What a command ends with that could not reach somebody. */
const UNREACHABLE = new PkiError("unreachable", "").exitCode;

class InteractiveSession {
  readonly #context: PkiContext & { readonly sitting: Sitting };
  readonly #flags: SessionFlags;
  readonly #terminal: Terminal;
  readonly #home: Home;
  readonly #surroundings: Surroundings;
  readonly #editor = new LineEditor();
  readonly #history: History;
  #id: string | undefined;
  /** What was wrong with the server when it was last needed, as the prompt says it. */
  #trouble: "offline" | "not trusted" | undefined;

  constructor(context: PkiContext, flags: SessionFlags, terminal: Terminal) {
    this.#context = { ...context, sitting: new Sitting() };
    this.#flags = flags;
    this.#terminal = terminal;
    this.#surroundings = new Surroundings(this.#context, flags);
    this.#home = this.#surroundings.home;
    const isOff = flags.noHistory || context.process.env["PKI_HISTORY"] === "off";
    this.#history = new History(
      isOff ? undefined : join(this.#home.folder, "history"),
      (text) => this.#surroundings.warn(text),
    );
  }

  /** Runs the session to its end. @throws {PkiError} where it cannot even begin */
  async run(): Promise<void> {
    let release: (() => void) | undefined;
    try {
      await this.#begin();
      this.#note(`${this.#who()}\nHELP lists what can be done, Tab completes, Ctrl-D leaves`);
      // Who means the operation that has just ended does not mean the session.
      release = this.#context.takeInterrupts?.(() => true);
      await this.#loop();
    } finally {
      release?.();
      this.#context.sitting.close();
    }
  }

  /** A sentence, not for programs. */
  #note(text: string): void {
    this.#surroundings.note(text);
  }

  #tell(error: PkiError): void {
    const { process: { stderr, env }, color: mode } = this.#context;
    stderr.write(`${formatError(error, choosePaint(stderr, { mode, env }))}\n`);
  }

  /** Finds out who it is, and opens what the operations share. */
  async #begin(): Promise<void> {
    let id = this.#surroundings.findIdentity();
    while (id === undefined) {
      const ids = this.#home.listIds();
      const known = ids.length > 0
        ? ids.join(", ")
        : "a name, or an invitation that begins with pki1:";
      const answer = (await this.#terminal.askText("Who are you?", known)).trim();
      if (!INVITATION.test(answer)) {
        checkId(answer);
        id = answer;
      } else {
        await this.#operate(["join", answer]);
        // Who has joined is logged in; who has not is told why, and asked again.
        if (this.#id !== undefined) return;
      }
    }
    await this.#unlock(id);
    this.#id = id;
  }

  /**
   * Unlocks an identity and opens a session with the server; where the server is away it says so.
   * @throws {PkiError} `refused` for a password that stays wrong
   */
  async #unlock(id: string): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        await runCancellable(this.#context, async (context) => {
          const flags = { ...this.#flags, id };
          const surroundings = new Surroundings(context, flags);
          (await openSession(surroundings, flags, { id, registration: "offer" })).close();
        });
        this.#trouble = undefined;
        return;
      } catch (error) {
        if (!(error instanceof PkiError) || this.#context.signal.aborted) throw error;
        if (AWAY.includes(error.kind) && this.#home.pinnedRoot() !== undefined) {
          this.#trouble = error.kind === "untrusted" ? "not trusted" : "offline";
          return this.#tell(error);
        }
        const canTryAgain = error.kind === "refused" && this.#home.hasKey(id) &&
          !this.#surroundings.hasGivenPassword && tries < PASSWORD_TRIES;
        if (!canTryAgain) throw error;
        this.#tell(error);
      }
    }
  }

  /** Who it is, where, until when: what a person wants to know at the start. */
  #who(): string {
    const id = this.#id ?? "";
    const nowMs = this.#context.now();
    const where = formatAddress(this.#surroundings.serverAddress());
    const standing = describeStanding(describeIdentity(this.#home, { id, nowMs }), nowMs);
    const trouble = this.#trouble && ` (${this.#trouble}; what needs no server works)`;
    return `${id} at ${where}${trouble ?? ""}: ${standing}`;
  }

  #prompt(): string {
    const id = this.#id ?? "";
    const identity = describeIdentity(this.#home, { id, nowMs: this.#context.now() });
    const marks = [markStanding(identity), this.#trouble].filter((mark) => mark !== undefined);
    return `${id}${marks.length > 0 ? ` (${marks.join(", ")})` : ""}> `;
  }

  async #loop(): Promise<void> {
    const { signal } = this.#context;
    for (;;) {
      const typed = await this.#readLine();
      if (signal.aborted) throw new PkiError("interrupted", "interrupted");
      if (typed.kind === "end" || !await this.#enter(typed.text)) return;
    }
  }

  async #readLine(): Promise<TypedLine> {
    const { waiting } = this.#editor;
    if (waiting > 0) {
      const more = waiting === 1 ? "the last line" : `${waiting} lines to go`;
      this.#note(`pasted, ${more}: Enter does it, Ctrl-C drops ${waiting === 1 ? "it" : "them"}`);
    }
    let presses = 0;
    return await this.#editor.readLine({
      prompt: this.#prompt(),
      newestFirst: this.#history.newestFirst,
      complete: (line) => completeLine(line, { home: this.#home, context: this.#context }),
      onInterrupt: (hadText) => {
        presses = hadText ? 0 : presses + 1;
        return presses > 1 ? "Ctrl-D or QUIT leaves" : undefined;
      },
      signal: this.#context.signal,
    });
  }

  /** Does what a line says; returns whether the session goes on. */
  async #enter(line: string): Promise<boolean> {
    this.#history.add(line.trim(), { isForFile: isForHistory(line, Object.keys(CATALOGUE)) });
    try {
      return await this.#obey(interpretLine(line));
    } catch (error) {
      // An operation that fails does not end the session; only the end of the program does.
      if (!(error instanceof PkiError) || this.#context.signal.aborted) throw error;
      if (error.kind !== "interrupted") this.#tell(error);
      return true;
    }
  }

  async #obey(meaning: Meaning): Promise<boolean> {
    switch (meaning.kind) {
      case "nothing":
        return true;
      case "leave":
        return false;
      case "who":
        this.#note(this.#who());
        return true;
      case "help":
        if (meaning.words.length === 0) this.#note(sessionHelp());
        else await this.#operate([...meaning.words, "--help"]);
        return true;
      case "as":
        await this.#become(meaning.id);
        return true;
      case "run": {
        const { words, question } = meaning;
        if (question === undefined) await this.#operate(words);
        else {
          const answer = (await this.#terminal.askText(question)).trim();
          if (answer !== "") await this.#operate([...words, answer]);
        }
        return true;
      }
    }
  }

  async #become(id: string): Promise<void> {
    checkId(id);
    if (!this.#home.hasKey(id)) {
      const ids = this.#home.listIds();
      throw new PkiError("not-found", `cannot be "${id}": there is no key of that name here`, {
        hint: ids.length > 0 ? `there is ${ids.join(", ")}` : "CSR makes one",
      });
    }
    await this.#unlock(id);
    this.#id = id;
    this.#note(this.#who());
  }

  async #operate(words: readonly string[]): Promise<void> {
    const { json, quiet, yes } = this.#flags;
    const switches = Object.entries({ "--json": json, "--quiet": quiet, "--yes": yes })
      .flatMap(([name, isSet]) => isSet && !words.includes(name) ? [name] : []);
    const idsBefore = this.#home.listIds();
    const env = this.#environment(words);
    const code = await runOperation([...switches, ...words], this.#context, env);
    if (this.#context.signal.aborted) throw new PkiError("interrupted", "interrupted");
    this.#noticeReach(words, code);
    if (code === 0) this.#noticeIdentities(words, idsBefore);
  }

  /** What the session is about, as every command finds it. */
  #environment([name, second]: readonly string[]): Readonly<Record<string, string>> {
    const { home, server, passwordFile } = this.#flags;
    // Whom an invitation is for, it says itself; and who chooses another is not told who is chosen.
    const isForAnother = name === "join" || (name === "id" && second === "use");
    const id = isForAnother ? this.#flags.id : this.#id;
    return {
      ...(home === undefined ? {} : { PKI_HOME: home }),
      ...(server === undefined ? {} : { PKI_SERVER: server }),
      ...(passwordFile === undefined ? {} : { PKI_PASSWORD_FILE: passwordFile }),
      ...(id === undefined ? {} : { PKI_ID: id }),
    };
  }

  /** Whether the server is there, as the operation has found. */
  #noticeReach([name]: readonly string[], code: number): void {
    const open = this.#id === undefined
      ? undefined
      : this.#context.sitting.of(this.#home, this.#id).session?.address;
    if (open === formatAddress(this.#surroundings.serverAddress())) this.#trouble = undefined;
    else if (code === UNREACHABLE && name !== "connect") this.#trouble ??= "offline";
  }

  /** What the operation has changed about who one is, or may be. */
  #noticeIdentities([name, second]: readonly string[], idsBefore: readonly string[]): void {
    if (name === "lock") this.#context.sitting.close();
    const isChosen = name === "id" && second === "use";
    const added = this.#home.listIds().filter((id) => !idsBefore.includes(id));
    const id = isChosen ? this.#home.chooseId() : name === "join" ? added[0] : undefined;
    if (id === undefined || id === this.#id) return;
    const isFirst = this.#id === undefined;
    this.#id = id;
    if (!isFirst) this.#note(this.#who()); // at the start it is said anyway
  }
}

export async function interact(context: PkiContext, flags: SessionFlags): Promise<void> {
  const { terminal } = context;
  if (!terminal || !context.process.stdin.isTTY) {
    throw new PkiError("usage", "cannot ask what to do: there is no terminal", {
      hint: "name a command; pki --help lists them",
    });
  }
  await new InteractiveSession(context, flags, terminal).run();
}

export const sessionCommand = buildCommand<SessionFlags, [], PkiContext>({
  func: async function (flags) {
    await interact(this, flags);
  },
  parameters: {
    flags: {
      ...SERVER_FLAGS,
      noHistory: switchFlag("Keep no file of what is typed [or $PKI_HISTORY=off]"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["[--id NAME] [options]"],
    brief: "Log in and choose operations by name",
    fullDescription:
      "What pki alone does at a terminal: says who you are, at which server and until\n" +
      "when, then asks for operations: CSR, CERTUP, CERTREQ, or any other command by its\n" +
      "name, as often as you like, with one login. Tab completes, Up goes back through\n" +
      "what was typed (kept in the file history of the home), HELP lists everything,\n" +
      "Ctrl-C cancels an operation and Ctrl-D leaves.\n\n" +
      "Examples:\n" +
      "  pki\n" +
      "  pki --id alice\n" +
      "  pki --id alice --server ca.example.org --no-history",
  },
});
