/**
 * The bounds of `pki serve` that an operator may set, under `limits` in `pki.json`: one row says
 * everything about each. Bounds that nobody has a reason to change are in `limits.ts`.
 * `docs/limits.md` shows both to people, and a test holds it against these tables.
 */

interface LimitRow {
  /** What holds where nothing is given. */
  readonly standard: number;
  /** What may be given. */
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** Whether 0, which is also given as `min`, means that there is no such bound. */
  readonly isOffAtZero?: true;
  /** Whether clients on this machine are spared, unless the limit is given. */
  readonly sparesLoopback?: true;
  /** What is bounded. */
  readonly bounds: string;
  /** Why the standard is what it is. */
  readonly reason: string;
  /** What whoever is beyond it is told. */
  readonly heard: string;
}

const DAY_SECONDS = 24 * 60 * 60;
const YEAR_SECONDS = 365 * DAY_SECONDS;

export const SERVER_LIMITS = {
  handshakeSeconds: {
    ...{ standard: 10, min: 1, max: 3600, unit: "s" },
    bounds: "from an accepted TCP connection to the end of its TLS handshake",
    reason: "two round trips, over the worst of lines",
    heard: "nothing: the connection is cut",
  },
  helloSeconds: {
    ...{ standard: 10, min: 1, max: 3600, unit: "s" },
    bounds: "from the handshake to an answered `HELLO`",
    reason: "no client asks anybody before it says HELLO",
    heard: "`TIMEOUT`",
  },
  loginSeconds: {
    ...{ standard: 60, min: 1, max: 3600, unit: "s" },
    bounds: "from the handshake to a finished login, or to leaving without one",
    reason: "a person types a password before; Argon2id takes seconds on a slow client",
    heard: "`TIMEOUT`",
  },
  frameSeconds: {
    ...{ standard: 30, min: 1, max: 3600, unit: "s" },
    bounds: "from a frame's first byte to its last",
    reason: "64 KiB over a line of 20 kbit/s",
    heard: "`TIMEOUT`",
  },
  requestSeconds: {
    ...{ standard: 60, min: 1, max: 3600, unit: "s" },
    bounds: "the work of one request, its wait for others' included",
    reason: "twice what our client waits for an answer; a disk that hangs takes as long",
    heard: "`TIMEOUT`: it may still be carried out",
  },
  idleSeconds: {
    ...{ standard: 300, min: 1, max: YEAR_SECONDS, unit: "s" },
    bounds: "between two requests of a session, answers that are not read included",
    reason: "a worker of 2.2 MB is held meanwhile; a login by certificate costs little",
    heard: "`TIMEOUT`",
  },
  sessionSeconds: {
    ...{ standard: DAY_SECONDS, min: 1, max: YEAR_SECONDS, unit: "s" },
    bounds: "a whole connection, however busy",
    reason: "nobody works for longer without a break",
    heard: "`TIMEOUT`",
  },
  connectionsPerAddress: {
    ...{ standard: 256, min: 1, max: 1_000_000, unit: "connections" },
    sparesLoopback: true,
    bounds: "connections of one address at once (IPv6: of one /64)",
    reason: "an office behind one NAT; four such addresses fill a server",
    heard: "`BUSY`",
  },
  connectionsPerUser: {
    ...{ standard: 64, min: 0, max: 1_000_000, unit: "sessions", isOffAtZero: true },
    sparesLoopback: true,
    bounds: "sessions of one user at once, by password and by certificate each, from anywhere",
    reason: "a person has a few devices, a service a pool; whoever fills a server needs 8 accounts",
    heard: "`BUSY`, at the login",
  },
  handshakesPerAddress: {
    ...{ standard: 64, min: 1, max: 1_000_000, unit: "handshakes" },
    sparesLoopback: true,
    bounds: "TLS handshakes of one address under way at once (IPv6: of one /64)",
    reason: "a quarter of those that are under way from all",
    heard: "nothing: the connection is cut",
  },
  handshakesPerSecond: {
    ...{ standard: 50, min: 0, max: 1_000_000, unit: "handshakes", isOffAtZero: true },
    sparesLoopback: true,
    bounds:
      "TLS handshakes that one address (IPv6: one /64) begins, after six times as many at once",
    reason: "300 people of one office may come back together",
    heard: "nothing: the connection is cut",
  },
  addressesPerSite: {
    ...{ standard: 2, min: 1, max: 65_536, unit: "addresses" },
    bounds: "what a /48 of IPv6 may have in all, as many times what one address may, and its turns",
    reason: "whoever has a /48 and an address of IPv4, too, leaves a quarter of a server to others",
    heard: "as for an address",
  },
  requestsInFlight: {
    ...{ standard: 32, min: 1, max: 1024, unit: "requests" },
    bounds: "requests of one connection that are carried out, or wait for that, at once",
    reason: "hides the round trip to the other side of the earth at 100 requests/s",
    heard: "nothing: more of its requests are read later",
  },
  answersUnreadBytes: {
    // Twice what a socket buffers before it says when it has room again, or nobody would hear of it.
    ...{ standard: 262_144, min: 131_072, max: 1_073_741_824, unit: "bytes" },
    bounds: "answers of one connection that its client has not read, before its next request",
    reason: "four of the largest answers; a line of 20 Mbit/s takes 100 ms",
    heard: "nothing: more of its requests are read later",
  },
  requestsAtWork: {
    ...{ standard: 64, min: 1, max: 65_536, unit: "requests" },
    bounds: "requests of all connections that the directory carries out at once",
    reason: "what shares one sync of the disk; more would only wait elsewhere",
    heard: "nothing: the others wait their turn",
  },
  statusesPerMinute: {
    ...{ standard: 6000, min: 0, max: 1_000_000_000, unit: "responses", isOffAtZero: true },
    sparesLoopback: true,
    bounds: "OCSP responses signed for one address (IPv6: one /64), or for one user",
    reason: "each costs a signature; 100/s are more than any office asks for",
    heard: "`BUSY`",
  },
  entriesPerHour: {
    ...{ standard: 100, min: 0, max: 1_000_000_000, unit: "entries", isOffAtZero: true },
    sparesLoopback: true,
    bounds: "entries of the log that one account causes, as many at once",
    reason:
      "people need a few a month; each is kept for ever, and what is revoked is on every list",
    heard: "`BUSY`",
  },
  workersSpare: {
    ...{ standard: 4, min: 0, max: 1000, unit: "workers" },
    bounds: "connection workers that wait for a connection, at least",
    reason: "one starts in 20 ms",
    heard: "nothing",
  },
  memoryMegabytes: {
    ...{ standard: 0, min: 0, max: 1_000_000, unit: "MB", isOffAtZero: true },
    bounds: "memory of the whole process beyond which no connection is taken",
    reason: "off: the other bounds add up to one, see below",
    heard: "`BUSY`",
  },
} as const satisfies Record<string, LimitRow>;

export type ServerLimitName = keyof typeof SERVER_LIMITS;
export type ServerLimits = Readonly<Record<ServerLimitName, number>>;
/** Those that an operator has set. */
export type GivenLimits = Partial<ServerLimits>;

export const SERVER_LIMIT_NAMES = Object.keys(SERVER_LIMITS) as readonly ServerLimitName[];

/** All limits that hold. */
export function resolveLimits(given: GivenLimits = {}): ServerLimits {
  return Object.fromEntries(
    SERVER_LIMIT_NAMES.map((name) => [name, given[name] ?? SERVER_LIMITS[name].standard]),
  ) as Record<ServerLimitName, number>;
}

/** Whether a limit holds for whoever is on this machine. */
export function holdsOnLoopback(name: ServerLimitName, given: GivenLimits): boolean {
  const row: LimitRow = SERVER_LIMITS[name];
  return row.sparesLoopback === undefined || given[name] !== undefined;
}
