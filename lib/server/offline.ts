/** What a server is but for its port, for an administrator's orders where no server runs. */

import type {
  AdminAnswer,
  AdminRequest,
  AdminRequestOf,
  AdminType,
} from "../protocol/admin_messages.ts";
import type { ConnectionBounds } from "./connections.ts";
import { Core, type ServerOptions } from "./core.ts";
import { serverFiles } from "./files.ts";
import { checkProfiles } from "./profiles_file.ts";
import { startError } from "./server.ts";

/** All that a server is but for its port; it answers an administrator and nobody else. */
export interface OfflineServer {
  /** @throws {PkiError} what the order fails with */
  order<T extends AdminType>(request: AdminRequestOf<T>): Promise<AdminAnswer<T>>;
  close(): Promise<void>;
}

/**
 * Opens a data folder for orders where no server runs. The folder's lock is held by the caller.
 * @throws {PkiError} as `startServer`
 */
export async function openOffline(
  options: Omit<ServerOptions, "host" | "port" | "onFault" | keyof ConnectionBounds>,
): Promise<OfflineServer> {
  checkProfiles(serverFiles(options.folder).profiles);
  const fault = Promise.withResolvers<never>();
  fault.promise.catch(() => {}); // whoever waits for an order hears of it
  let core: Core | undefined;
  try {
    core = new Core({
      ...options,
      ...{ host: "", port: 0 },
      // No room is needed for connections, and no workers wait for any.
      ...{ connectionsMax: 0, limits: { workersSpare: 0 } },
      onFault: fault.reject,
    });
    await Promise.race([fault.promise, core.startWorkers()]);
  } catch (error) {
    await core?.endWorkers();
    throw startError(error);
  }
  const opened = core;
  return {
    order: async <T extends AdminType>(request: AdminRequestOf<T>) => {
      const answer = await Promise.race([fault.promise, opened.order(request as AdminRequest)]);
      return answer as AdminAnswer<T>;
    },
    close: () => opened.stop(),
  };
}
