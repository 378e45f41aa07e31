/** Home folders for tests, gone afterwards. */

import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Home } from "../../lib/client/home.ts";

/** The home's folder is not there yet, only the one above it. */
export async function inHome(work: (home: Home) => void | Promise<void>): Promise<void> {
  const above = fs.mkdtempSync(join(tmpdir(), "pki-home-"));
  try {
    await work(new Home(join(above, "home")));
  } finally {
    fs.rmSync(above, { recursive: true, force: true });
  }
}

/** A key that is there, as after it was certified. */
export function putKey(home: Home, id: string, pem: string): void {
  fs.mkdirSync(dirname(home.keyPath(id)), { recursive: true, mode: 0o700 });
  fs.writeFileSync(home.keyPath(id), pem, { mode: 0o600 });
}
