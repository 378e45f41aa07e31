/**
 * Homes that are made once and then copied: a data folder with its CAs, and people who are registered,
 * certified and published. Making one takes seconds, most of them for PBKDF2 and Argon2id, and a hundred
 * tests want one. `./pki` itself makes them, in `harness.ts`; then their keys are encrypted anew with few
 * rounds, since each start of a server opens four of them and each command one.
 *
 * Copies share root, keys and passwords, as backups of one server would; a test that needs two CAs makes
 * the second with `--data`, and one about the first start begins without a copy. See `World.serve`.
 */

import { randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { cheapenKey } from "../fakes/cheap_key.ts";

/** After that a template is made anew: nothing in it expires while tests use it. */
const AGE_MS_MAX = 6 * 3_600_000;

/** Where all templates are, beside the program; `tests/run.ts` removes those of earlier builds. */
export const TEMPLATES = ".test-homes";

/** What makes templates: where one of these has changed, they are made anew. */
const MAKERS = ["template.ts", "harness.ts"].map((name) => join(import.meta.dirname ?? ".", name));

/** Where the templates of a build are. */
function templatesOf(program: string): string {
  const stamps = [program, ...MAKERS].map((path) =>
    Math.round(fs.statSync(path).mtimeMs).toString(36)
  );
  const name = [...stamps, Math.floor(Date.now() / AGE_MS_MAX)].join("-");
  const folder = join(dirname(program), TEMPLATES, name);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/**
 * Copies a home that such a build has made; the first who wants one has it made.
 * @param name of the template
 * @param make fills a folder that does not exist yet
 * @param to must not exist
 */
export async function copyHome(
  { program, name, make, to }: {
    readonly program: string;
    readonly name: string;
    readonly make: (home: string) => Promise<void>;
    readonly to: string;
  },
): Promise<void> {
  const template = join(templatesOf(program), name);
  if (!fs.existsSync(template)) {
    // Two test files may make the same one; whoever is first has made it for both.
    const mine = `${template}.${randomUUID()}`;
    await make(mine);
    try {
      fs.renameSync(mine, template);
    } catch (error) {
      if (!fs.existsSync(template)) throw error;
      fs.rmSync(mine, { recursive: true });
    }
  }
  fs.cpSync(template, to, { recursive: true, preserveTimestamps: true });
}

/**
 * Encrypts all keys of a home anew with few rounds; passwords and passphrase stay.
 * @param passwords of everybody who may be there, by id
 */
export async function cheapenHome(
  home: string,
  passwords: Readonly<Record<string, string>>,
): Promise<void> {
  const passphrase = fs.readFileSync(join(home, "server.passphrase"), "utf8").trim();
  const server = join(home, "server");
  for (const name of fs.readdirSync(server).filter((name) => name.endsWith(".key"))) {
    await cheapenKey(join(server, name), passphrase);
  }
  const identities = join(home, "ids");
  for (const id of fs.existsSync(identities) ? fs.readdirSync(identities) : []) {
    await cheapenKey(join(identities, id, "key.pem"), passwords[id] ?? "");
  }
}

/** Has a home remember the server where it is now. */
export function moveServer(home: string, server: string): void {
  const path = join(home, "config.json");
  const config = JSON.parse(fs.readFileSync(path, "utf8")) as Record<string, unknown>;
  fs.writeFileSync(path, `${JSON.stringify({ ...config, server }, null, 2)}\n`);
}
