/** Where a talk takes place: what may be done between two talks, and what others add to one. */

import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import type { TalkCommand } from "./talk_commands.ts";

/** What one may do between two talks, where there is such a thing. */
export interface BetweenTalks {
  /** Who and where one is, for `/who`. */
  readonly describe: () => string;
  /** Calls somebody; resolves when that has become a talk, or failed. @throws {PkiError} */
  readonly call?: (target: string, signal: AbortSignal) => Promise<void>;
  /** Ends the command. */
  readonly leave: () => void;
}

/** What is added to a talk by others: files. */
export interface TalkExtension {
  readonly commands?: readonly TalkCommand[];
  readonly handlers?: Pick<LineHandlers, "onFile" | "onFileControl">;
  /** The line is over. */
  readonly over?: () => void;
}

/** Where a talk is extended: its line, and what the user is to see. */
export interface TalkScene {
  readonly line: Line;
  readonly peer: Peer;
  /** Says something, above what is typed. */
  readonly note: (text: string) => void;
  /** Shows a row above what is typed that changes, a progress say; `undefined` removes it. */
  readonly status: (text: string | undefined) => void;
}

export type ExtendTalk = (scene: TalkScene) => TalkExtension;
