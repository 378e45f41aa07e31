/**
 * The administration of a running server: a Unix socket in the data folder. Whoever can connect to
 * it owns the folder and everything in it, so nobody logs in; what comes is bounded all the same,
 * against mistakes.
 *
 * What the requests do is not known here: `core.ts` hands that in.
 */

import type { Socket } from "node:net";
import { basename, dirname } from "node:path";
import { PkiError } from "../base/errors.ts";
import { storageError } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { listenUnix } from "../base/unix_socket.ts";
import {
  type AdminAnswer,
  type AdminProgress,
  type AdminRequest,
  type AdminType,
  encodeAdminAnswer,
  encodeAdminError,
  encodeAdminProgress,
  parseAdminRequest,
} from "../protocol/admin_messages.ts";
import { FrameReader } from "../protocol/frame.ts";

/** Administrators at work at once; people, and the scripts that they forgot. */
export const ADMIN_CONNECTIONS_MAX = 16;
/** Their sockets in all, with those that are being told that they are too many. */
export const ADMIN_SOCKETS_MAX = 64;

/** What a handler is given besides the request. */
export interface AdminExchange {
  /** Aborted when nobody waits for the answer any more, or the server stops. */
  readonly signal: AbortSignal;
  /** Tells whoever waits how far it is; also that there is reason to go on waiting. */
  progress(progress: AdminProgress): void;
}

/** Does what a request asks for; what it throws is told in full. */
export type AdminHandler = (
  request: AdminRequest,
  exchange: AdminExchange,
) => Promise<AdminAnswer<AdminType>>;

export interface AdminListener {
  /** Takes the socket away and ends all connections; running requests see their signal. */
  close(): Promise<void>;
}

/**
 * Says why and hangs up. What still comes is thrown away: a socket that is closed over unread bytes
 * may take its last words with it.
 */
function hangUp(socket: Socket, error: unknown): void {
  const timer = setTimeout(() => socket.destroy(), LIMITS.hangUpMs);
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
  socket.end(encodeAdminError(0, error));
}

class AdminConnection {
  readonly #socket: Socket;
  readonly #handle: AdminHandler;
  readonly #idleMs: number;
  readonly #frames = new FrameReader();
  readonly #left = new AbortController();
  #idle: ReturnType<typeof setTimeout> | undefined;
  #isBusy = false;
  #isEnded = false;

  constructor(socket: Socket, { handle, idleMs }: {
    readonly handle: AdminHandler;
    readonly idleMs: number;
  }) {
    this.#socket = socket;
    this.#handle = handle;
    this.#idleMs = idleMs;
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#isEnded) return;
      this.#frames.push(new Uint8Array(chunk));
      void this.#work();
    });
    socket.once("close", () => {
      clearTimeout(this.#idle);
      this.#left.abort();
    });
    this.#waitIdle();
  }

  #waitIdle(): void {
    this.#idle = setTimeout(() => {
      this.#end(new PkiError("timeout", "the connection was idle for too long"));
    }, this.#idleMs);
  }

  #end(error: unknown): void {
    clearTimeout(this.#idle);
    this.#isEnded = true;
    hangUp(this.#socket, error);
  }

  /** Does what has come, one request after the other; what comes meanwhile waits unread. */
  async #work(): Promise<void> {
    if (this.#isBusy) return; // an engine may deliver what it had read before the pause
    this.#isBusy = true;
    this.#socket.pause();
    try {
      for (let frame = this.#frames.read(); frame; frame = this.#frames.read()) {
        clearTimeout(this.#idle);
        await this.#write(await this.#answer(frame));
        if (this.#socket.destroyed) return;
        this.#waitIdle();
      }
      this.#isBusy = false;
      this.#socket.resume();
    } catch (error) {
      this.#end(error);
    }
  }

  /** @throws {PkiError} `protocol` where nothing can be answered */
  async #answer(frame: Uint8Array): Promise<Uint8Array> {
    const parsed = parseAdminRequest(frame);
    if (!parsed.ok) return encodeAdminError(parsed.seq, parsed.error);
    const { request } = parsed;
    try {
      const answer = await this.#handle(request, {
        signal: this.#left.signal,
        progress: (progress) => {
          // Whoever reads slower than it goes on misses some of it.
          if (this.#left.signal.aborted || this.#socket.writableLength > 0) return;
          this.#socket.write(encodeAdminProgress(request.seq, progress));
        },
      });
      return encodeAdminAnswer(request.seq, answer);
    } catch (error) {
      return encodeAdminError(request.seq, error);
    }
  }

  /** Writes, and waits until it was taken or nobody is there to take it, and not for ever. */
  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return;
    const timer = setTimeout(() => this.#socket.destroy(), this.#idleMs);
    await new Promise<void>((resolve) => {
      this.#socket.once("close", resolve);
      this.#socket.write(bytes, () => {
        this.#socket.off("close", resolve);
        resolve();
      });
    });
    clearTimeout(timer);
  }
}

/**
 * Listens for administrators. What a killed server left at the path is replaced, which is safe
 * because only the holder of the folder's lock calls this.
 * @throws {PkiError} `storage`
 */
export async function listenAdmin(
  path: string,
  handle: AdminHandler,
  { idleMs = LIMITS.adminIdleMs }: { readonly idleMs?: number } = {},
): Promise<AdminListener> {
  let open = 0;
  let sockets = 0;
  try {
    return await listenUnix({ folder: dirname(path), name: basename(path) }, (socket) => {
      if (sockets >= ADMIN_SOCKETS_MAX) return void socket.destroy();
      sockets++;
      socket.once("close", () => sockets--);
      if (open >= ADMIN_CONNECTIONS_MAX) {
        const busy = new PkiError("busy", "too many administrators at once, try again later");
        return hangUp(socket, busy);
      }
      open++;
      socket.once("close", () => open--);
      new AdminConnection(socket, { handle, idleMs });
    });
  } catch (error) {
    throw storageError(`cannot listen on "${path}"`, error);
  }
}
