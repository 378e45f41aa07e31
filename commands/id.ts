/** `pki id`: the identities of a home. The others of these commands are in `id_*.ts`. */

import { buildCommand, buildRouteMap } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { askAgent } from "../lib/client/agent.ts";
import { describeIdentity, type Identity, listIdentities } from "../lib/client/identities.ts";
import { formatName } from "../lib/x509/name_text.ts";
import type { PkiContext } from "./context.ts";
import { formatDuration } from "./duration.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";
import { exportCommand } from "./id_export.ts";
import { importCommand } from "./id_import.ts";
import { ID_PARAMETER, OPTIONAL_ID_PARAMETER, whoIsMeant } from "./id_name.ts";
import { removeCommand } from "./id_remove.ts";
import { columnsOf } from "./paint.ts";
import { type Column, makeTable, styleOfState } from "./table.ts";

const DATE_CHARACTERS = 10;

/** How long a key is still unlocked; shown only where one is. */
const UNLOCKED: Column = { head: "UNLOCKED", width: 9 };
const COLUMNS: readonly Column[] = [
  { head: "", width: 1 },
  { head: "WHO" },
  { head: "STATE", width: 14, style: styleOfState },
  { head: "UNTIL", width: DATE_CHARACTERS },
  { head: "KEY", width: 7, isOptional: true },
  UNLOCKED,
  { head: "FINGERPRINT" },
];

/** Until when keys are unlocked, by id. An agent that cannot be asked has none, and that is said. */
async function findUnlocked(surroundings: Surroundings): Promise<ReadonlyMap<string, number>> {
  try {
    const answer = await askAgent(surroundings.home.folder, "LIST", {});
    return new Map(answer?.kept.map(({ id, untilMs }) => [id, untilMs]));
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    surroundings.warn(error.message, error.hint);
    return new Map();
  }
}

/** Who a command without `--id` would act as, where that is clear. */
function findCurrent(surroundings: Surroundings): string | undefined {
  try {
    return surroundings.findIdentity();
  } catch (error) {
    // The one in use is gone: that nobody is marked says as much.
    if (error instanceof PkiError && error.kind === "usage") return undefined;
    throw error;
  }
}

const timeOf = (ms: number) => new Date(ms).toISOString();

/** What is not of an identity itself, but of now. */
interface Moment {
  readonly current: string | undefined;
  readonly unlocked: ReadonlyMap<string, number>;
}

async function findMoment(surroundings: Surroundings): Promise<Moment> {
  return { current: findCurrent(surroundings), unlocked: await findUnlocked(surroundings) };
}

/** An identity for a program; the fields are always there. */
function describe({ id, state, certificate }: Identity, { current, unlocked }: Moment) {
  const { leaf, keyType, fingerprint } = certificate ?? {};
  const unlockedMs = unlocked.get(id);
  return {
    id,
    current: id === current,
    state,
    unlockedUntil: unlockedMs === undefined ? null : timeOf(unlockedMs),
    keyType: keyType ?? null,
    serial: leaf?.serial ?? null,
    fingerprint: fingerprint ?? null,
    notBefore: leaf ? timeOf(leaf.notBeforeMs) : null,
    notAfter: leaf ? timeOf(leaf.notAfterMs) : null,
  };
}

export async function listIds(context: PkiContext, flags: GlobalFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { process: { stdout, env } } = context;
  const nowMs = context.now();
  const identities = listIdentities(surroundings.home, nowMs);
  const moment = await findMoment(surroundings);
  const rows = identities.map((identity) => describe(identity, moment));
  if (flags.json) {
    for (const row of rows) surroundings.result(row, "");
    return;
  }
  if (rows.length === 0) {
    surroundings.note("there is no identity here yet; make one with: pki csr --id NAME");
    return;
  }
  const shown = COLUMNS.filter((column) => column !== UNLOCKED || moment.unlocked.size > 0);
  const cells = rows.map((row) => {
    const leftMs = (moment.unlocked.get(row.id) ?? nowMs) - nowMs;
    const left = leftMs > 0 ? formatDuration(leftMs) : "";
    return [
      row.current ? "*" : "",
      row.id,
      row.state,
      row.notAfter?.slice(0, DATE_CHARACTERS) ?? "",
      row.keyType ?? "",
      ...moment.unlocked.size > 0 ? [left] : [],
      row.fingerprint ?? "",
    ];
  });
  const columns = columnsOf(stdout, env);
  const table = makeTable(shown, { first: cells, columns, paint: surroundings.paint });
  stdout.write([table.header, ...cells.map((row) => table.line(row))].join("\n") + "\n");
  if (moment.current === undefined) {
    surroundings.note("none is in use; choose one with: pki id use NAME");
  }
}

export function useId(context: PkiContext, flags: GlobalFlags, id: string): void {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  whoIsMeant(surroundings, id);
  home.loadKeyPem(id); // whoever has no key here is not here
  home.useId(id);
  surroundings.result({ event: "in-use", id }, `"${id}" is in use`);
  const given = context.process.env["PKI_ID"];
  if (given && given !== id) surroundings.note(`$PKI_ID is set, and goes first: ${given}`);
}

/** What each state asks its owner to do. */
const NEXT: Readonly<Record<Identity["state"], (id: string) => string | undefined>> = {
  valid: () => undefined,
  expiring: (id) => `renew it with: pki renew --id ${id}`,
  expired: (id) => `get a new certificate with: pki csr --id ${id}`,
  "not-yet-valid": () => "is the clock of this machine right?",
  "no-certificate": (id) => `get a certificate with: pki csr --id ${id}`,
  "no-key": (id) => `get a new key and certificate with: pki csr --id ${id}`,
  untrusted: (id) => `get a certificate under the pinned root with: pki csr --id ${id}`,
  damaged: (id) => `get a new certificate with: pki csr --id ${id}`,
};

export async function showId(
  context: PkiContext,
  flags: GlobalFlags,
  name: string | undefined,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const id = whoIsMeant(surroundings, name);
  const nowMs = context.now();
  if (!listIdentities(home, nowMs).some((identity) => identity.id === id)) home.loadKeyPem(id);
  const identity = describeIdentity(home, { id, nowMs });
  const facts = describe(identity, await findMoment(surroundings));
  const { leaf } = identity.certificate ?? {};
  const names = (leaf?.names ?? []).flatMap((one) =>
    one.type === "uri" || one.type === "dns" ? [one.value] : []
  );
  const issuer = leaf ? formatName(leaf.issuer) : null;
  const key = home.files(id).keyPathInUse;
  const certificate = home.certificatePath(id);
  const lines: readonly (readonly [string, string | null])[] = [
    ["state", facts.state],
    ["until", facts.notAfter],
    ["unlocked", facts.unlockedUntil && `until ${facts.unlockedUntil}`],
    ["names", names.join(", ") || null],
    ["key type", facts.keyType],
    ["serial", facts.serial],
    ["fingerprint", facts.fingerprint],
    ["issuer", issuer],
    ["certificate", leaf ? certificate : null],
    ["key", home.hasKey(id) ? `${key} (encrypted)` : null],
  ];
  surroundings.result(
    {
      ...facts,
      names,
      issuer,
      certificate: leaf ? certificate : null,
      key: home.hasKey(id) ? key : null,
    },
    `${id}${facts.current ? " (in use)" : ""}\n` +
      lines.flatMap(([head, text]) => text === null ? [] : [`  ${head.padEnd(11)}  ${text}`])
        .join("\n"),
  );
  const next = NEXT[facts.state](id);
  if (next !== undefined) surroundings.note(next);
}

const listCommand = buildCommand<GlobalFlags, [], PkiContext>({
  func: async function (flags) {
    await listIds(this, flags);
  },
  parameters: { flags: GLOBAL_FLAGS },
  docs: {
    customUsage: ["[--json] [options]"],
    brief: "List the identities of this home",
    fullDescription:
      "Shows whose keys and certificates are in the home: who is in use (*), the state and\n" +
      "the end of the certificate, the key, and the SHA-256 of the certificate. States:\n" +
      "valid, expiring (it is time for pki renew), expired, not-yet-valid, no-certificate,\n" +
      "no-key, untrusted (not under the pinned root), damaged; and how long a key stays\n" +
      "unlocked. An identity that a command is to act as is named by --id, $PKI_ID or\n" +
      "pki id use; where there is only one, by nothing. A home is for one server: for\n" +
      "another server use another one (--home).\n\n" +
      "Examples:\n" +
      "  pki id\n" +
      "  pki id ls --json",
  },
});

const useCommand = buildCommand<GlobalFlags, [string], PkiContext>({
  func: function (flags, id) {
    useId(this, flags, id);
  },
  parameters: {
    flags: GLOBAL_FLAGS,
    positional: { kind: "tuple", parameters: [ID_PARAMETER] },
  },
  docs: {
    customUsage: ["NAME [options]"],
    brief: "Choose who you are from now on",
    fullDescription:
      "Takes an identity of this home into use: every command acts as this one, unless\n" +
      "--id or $PKI_ID names another.\n\n" +
      "Examples:\n" +
      "  pki id use alice\n" +
      "  pki id use bob --home ~/.pki-work",
  },
});

const showCommand = buildCommand<GlobalFlags, [string?], PkiContext>({
  func: async function (flags, id) {
    await showId(this, flags, id);
  },
  parameters: {
    flags: GLOBAL_FLAGS,
    positional: { kind: "tuple", parameters: [OPTIONAL_ID_PARAMETER] },
  },
  docs: {
    customUsage: ["[NAME] [options]"],
    brief: "Show one identity and where its files are",
    fullDescription:
      "Says who an identity is, in which state its certificate is and what to do about it,\n" +
      "and where key and certificate are.\n\n" +
      "Examples:\n" +
      "  pki id show\n" +
      "  pki id show bob --json",
  },
});

export const idRoutes = buildRouteMap({
  routes: {
    ls: listCommand,
    show: showCommand,
    use: useCommand,
    export: exportCommand,
    import: importCommand,
    rm: removeCommand,
  },
  defaultCommand: "ls",
  docs: {
    brief: "Look after your identities: list, use, export, import",
    fullDescription:
      "Your keys and certificates in this home. Alone it lists them: see pki id ls --help.",
  },
});
