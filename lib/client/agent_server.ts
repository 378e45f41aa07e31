/**
 * The agent: keeps unlocked keys behind a socket in the home folder and hands them to whoever can
 * connect, who is the folder's owner (`node:` does not tell who connects; the modes of socket and
 * folder decide). It ends when it keeps nothing, when its socket is taken away, and when it is told to.
 */

import type { Socket } from "node:net";
import { join } from "node:path";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import {
  connectUnix,
  isNobodyThere,
  listenUnix,
  removeDeadSocket,
  removeUnshownSockets,
  type UnixListener,
} from "../base/unix_socket.ts";
import {
  AGENT_SOCKET_NAME,
  type AgentRequest,
  encodeAgentAnswer,
  encodeAgentError,
  parseAgentRequest,
} from "../protocol/agent_messages.ts";
import { FrameReader } from "../protocol/frame.ts";
import type { KeptKeys } from "./kept_keys.ts";

/** Tries to take the place of a socket that nobody listens on; more than one need several starters. */
const ATTEMPTS_MAX = 3;

function carryOut(keys: KeptKeys, request: AgentRequest): Readonly<Record<string, unknown>> {
  switch (request.type) {
    case "ADD":
      return keys.add(request.body);
    case "KEY":
      return keys.find(request.body.id);
    case "LIST":
      return keys.list();
    case "LOCK":
      return keys.lock(request.body.id);
  }
}

/** The answer to one frame. */
function answer(keys: KeptKeys, frame: Uint8Array): Uint8Array {
  try {
    return encodeAgentAnswer(carryOut(keys, parseAgentRequest(frame)));
  } catch (error) {
    if (error instanceof PkiError) return encodeAgentError(error);
    throw error;
  }
}

/** Reads one request, answers it and hangs up. */
function serve(
  socket: Socket,
  { keys, silenceMs = LIMITS.agentSilenceMs }: Pick<AgentOptions, "keys" | "silenceMs">,
  onChange: () => void,
): void {
  const frames = new FrameReader();
  const timer = setTimeout(() => socket.destroy(), silenceMs);
  socket.once("close", () => clearTimeout(timer));
  let isAnswered = false;
  socket.on("data", (chunk: Uint8Array) => {
    if (isAnswered) return;
    try {
      frames.push(new Uint8Array(chunk));
      const frame = frames.read();
      if (!frame) return;
      isAnswered = true;
      socket.end(answer(keys, frame));
      onChange();
    } catch (error) {
      isAnswered = true;
      socket.end(encodeAgentError(error as PkiError)); // a length that is none
    }
  });
}

export interface AgentOptions {
  /** The home folder. */
  readonly folder: string;
  /** With a first key in it: an agent that keeps nothing ends. */
  readonly keys: KeptKeys;
  /** Called when others can connect. */
  readonly onReady: () => void;
  readonly signal: AbortSignal;
  /** How long a connection may take, from its beginning to its end. */
  readonly silenceMs?: number;
}

/** Listens where nobody does. @returns `undefined` if another agent is there */
async function listenFirst(
  folder: string,
  onConnection: (socket: Socket) => void,
): Promise<UnixListener | undefined> {
  const place = { folder, name: AGENT_SOCKET_NAME };
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      return await listenUnix(place, onConnection, { isFirst: true });
    } catch (error) {
      if (systemCodeOf(error) === "ENOENT") continue; // the folder of its birth was cleared away
      if (systemCodeOf(error) !== "EEXIST") throw error;
    }
    try {
      (await connectUnix(place)).destroy();
      return undefined;
    } catch (error) {
      if (!isNobodyThere(error)) throw error;
    }
    await removeDeadSocket(place);
  }
  return undefined;
}

/**
 * Runs an agent to its end.
 * @returns whether it was the one: `false` if another agent is there
 * @throws {PkiError} `storage`
 */
export async function runAgent(options: AgentOptions): Promise<boolean> {
  const { folder, keys, onReady, signal } = options;
  const over = Promise.withResolvers<void>();
  const end = () => over.resolve();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let open = 0;
  let listener: UnixListener | undefined;
  const look = () => {
    clearTimeout(timer);
    keys.prune();
    if (keys.isEmpty || !listener?.isInPlace) return end();
    timer = setTimeout(look, Math.min(LIMITS.agentLookMs, keys.nextEndMs ?? 0));
  };
  try {
    removeUnshownSockets(folder);
    listener = await listenFirst(folder, (socket) => {
      if (open >= LIMITS.agentConnectionsMax) return void socket.destroy();
      open++;
      socket.once("close", () => open--);
      serve(socket, options, () => keys.isEmpty && look());
    });
  } catch (error) {
    throw storageError(`cannot listen on "${join(folder, AGENT_SOCKET_NAME)}"`, error);
  }
  if (!listener) return false;
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  onReady();
  look();
  await over.promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
  keys.lock();
  await listener.close();
  return true;
}
