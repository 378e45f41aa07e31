/**
 * Every bound of the program, with its unit and its reason; those of a server that an operator may set
 * are in `server_limits.ts`. Nothing that comes from outside is buffered, counted or waited for without
 * one of these. `docs/limits.md` shows them to people.
 */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

export const LIMITS = {
  /** Body of a frame. A certificate of RSA-3072 with its chain is about 4 KB in base64. */
  frameBytesMax: 65_536,
  /** Answers that a server prepares at once for one connection, if it says nothing else. */
  requestsInFlightMax: 32,
  /** Bytes relayed to a connection worker that it has not taken yet: the largest frame. */
  relayBytesMax: 65_540,
  /** Bytes of one client held for its worker: of a socket that is paused, two pieces of what engines read. */
  heldBytesMax: 1024 * 1024,
  /** Peers: bytes on their way in one direction before the side that makes them has to wait. */
  unreadBytesMax: 1024 * 1024,

  /** Connections held at once, each with a worker of its own (2.2 MB, measured). */
  connectionsMax: 1000,
  /** Sockets beyond those: handshakes under way, and clients that are being told "busy". */
  handshakesMax: 256,
  /** Handshakes of one address at once, in seconds of its rate: what comes back after a break. */
  handshakeBurstSeconds: 6,
  /** How often the server looks for handshakes that take too long. */
  handshakeLookMs: SECOND_MS / 2,
  /** Between two lines of the log about sockets that were one too many. */
  dropsTellMs: 10 * SECOND_MS,
  /** Questions to the directory that the main thread waits for; each connection asks two. */
  directoryQuestionsMax: 2000,
  /** How long a look at the memory of the process is good for. */
  memoryLookMs: SECOND_MS,
  /** Workers that sign, where there are twice as many cores; more would wait for the one directory. */
  authorityWorkersMax: 3,
  /** What "busy" tells a client to wait. */
  busyRetryMs: 5 * SECOND_MS,
  /** Peers: handshake of TLS, from the accepted TCP connection on. */
  handshakeMs: 10 * SECOND_MS,
  /** Silence of an administrator, or of one who does not read the answer. */
  adminIdleMs: 5 * MINUTE_MS,
  /** How often a connection worker is asked whether it is alive, and how long it has to say so. */
  watchdogMs: 5 * SECOND_MS,
  /** By how much a worker of a busy machine may be late to end what is over; then it is ended. */
  workerLateMs: 10 * SECOND_MS,
  /**
   * How often directory and authority are asked whether they are alive, and how many times without an
   * answer stop the server. The longest that they do in one piece takes a second or two.
   */
  pulseMs: 10 * SECOND_MS,
  pulsesMissedMax: 3,
  /** How long running requests may take to finish when the server stops. */
  drainMs: 5 * SECOND_MS,
  /** A snapshot that is being taken when the server stops; the log has everything. */
  snapshotEndMs: 8 * SECOND_MS,
  /**
   * From there to the end of the directory, with a last snapshot; and of the threads. With `drainMs`
   * less than the 30 s after which supervisors kill.
   */
  directoryEndMs: 20 * SECOND_MS,
  threadsEndMs: 2 * SECOND_MS,

  /** A user's id, as a label of DNS (RFC 1035, section 2.3.4). */
  idCharactersMax: 63,
  /** DER of a CSR or a certificate: RSA-4096 with generous extensions takes 3 KB. */
  derBytesMax: 16_384,
  /** DER of a CRL: 400,000 revoked certificates, and what the reader's lengths of three bytes can say. */
  crlBytesMax: 16 * 1024 * 1024,
  /** A PEM or password file that we read. */
  fileBytesMax: 262_144,
  /**
   * A password, in code points. One is chosen with at least so many, and below `Long` only where it is
   * hard to guess all the same (NIST SP 800-63B-4, section 3.1.1.2).
   */
  passwordCharactersMin: 8,
  passwordCharactersLong: 15,
  passwordCharactersMax: 1024,
  /**
   * Logins by password that come to no good end: for one account, from the addresses that it logs in
   * from (for each of them) and from all others together. A person mistypes twenty times at most; one
   * guess in five minutes is 288 a day, against passwords that stand a hundred million.
   */
  guessesAtOnce: 20,
  guessIntervalMs: 5 * MINUTE_MS,
  /** The same from one address, for all accounts that do not log in from it: an office behind one NAT. */
  addressGuessesAtOnce: 100,
  addressGuessIntervalMs: MINUTE_MS / 2,
  /** The same from one network of IPv6, which has many addresses: four times as much. */
  networkGuessesAtOnce: 400,
  networkGuessIntervalMs: MINUTE_MS / 8,
  /** Registrations from one address: a school that joins in a morning; each is in the log for ever. */
  registrationsAtOnce: 500,
  registrationIntervalMs: 10 * SECOND_MS,
  /** The same from one network of IPv6: four times as much. */
  networkRegistrationsAtOnce: 2000,
  networkRegistrationIntervalMs: 5 * SECOND_MS / 2,
  /** Accounts whose addresses are remembered, the last that logged in, and addresses of each. */
  knownAccountsMax: 10_000,
  knownAddressesMax: 4,
  /** Nonces for `CERTUP` that a session may hold unspent. */
  publishNoncesMax: 8,

  /** An OCSP request (RFC 6960) about a certificate, with a nonce; the answer, of an RSA 4096 CA. */
  ocspRequestBytesMax: 1024,
  ocspResponseBytesMax: 4096,
  /** How long an OCSP response is good for, and how long one without a nonce is answered again. */
  ocspValidityMs: 60 * MINUTE_MS,
  ocspReuseMs: 5 * MINUTE_MS,
  /** What one answer carries of a revocation list. */
  crlChunkBytesMax: 45_000,
  /** How long a revocation list is good for; it is made again when half of that is over. */
  crlValidityMs: DAY_MS,
  /** From a revocation to a list that has it, at least; more are gathered meanwhile. */
  crlDelayMs: 2 * SECOND_MS,
  /** How often it is looked whether the newest list is of this time: clocks are set, also by a year. */
  crlLookMs: 10 * MINUTE_MS,

  /** Validity of the certificates that we make. */
  rootDays: 20 * 365,
  issuingDays: 5 * 365,
  userDays: 30,
  serverDays: 90,
  /** The server's own certificate is renewed when less than this is left, and looked at this often. */
  serverRenewDays: 30,
  serverRenewCheckMs: 60 * MINUTE_MS,
  /** Clocks differ: certificates begin a minute before they are made. */
  backdateMs: MINUTE_MS,
  /** A day has 24 hours, whatever clocks on walls do in spring. */
  dayMs: DAY_MS,

  /** PBKDF2-HMAC-SHA-256 rounds for keys at rest (OWASP, 2023); and the most that a file may demand of us. */
  pbkdf2Rounds: 600_000,
  pbkdf2RoundsMax: 10_000_000,

  /** Client: TCP and TLS to a server or a peer. */
  connectMs: 10 * SECOND_MS,
  /** Client: to the first of several addresses that takes a connection, names looked up included. */
  reachMs: 15 * SECOND_MS,
  /** Client: to take an announcement back at the end, which would expire by itself. */
  withdrawMs: 5 * SECOND_MS,
  /** Client: one answer of the server. */
  answerMs: 30 * SECOND_MS,
  /** Peers: from the TLS connection to a judged certificate. */
  peerJudgedMs: 15 * SECOND_MS,
  /** Peers: from there to both being ready, for one who does not say that its user is asked. */
  peerReadyMs: 30 * SECOND_MS,
  /** Peers: for a last word to be sent, confirmed or read when a talk is hung up or refused. */
  hangUpMs: 3 * SECOND_MS,
  /** Peers: silence after which TCP asks whether the other side still lives. */
  keepAliveMs: 15 * SECOND_MS,
  /** Peers: while a side says that its user is asked something. */
  peerAskedMs: 5 * MINUTE_MS,
  /** Peers: silence after which a side takes the other for dead, as it may say in its HELLO. */
  silenceMsMin: SECOND_MS,
  silenceMsMax: 60 * MINUTE_MS,
  silenceMs: MINUTE_MS,
  /** A message of a talk with its 16 bytes of times: 256 KiB of UTF-8. */
  messageBytesMax: 262_160,

  /** Agent: how long a key stays unlocked where nobody says how long, and at most. */
  unlockMs: 15 * MINUTE_MS,
  unlockMsMax: DAY_MS,
  /** Agent: keys that are kept at once; connections; how long one may keep silent. */
  unlockedKeysMax: 32,
  agentConnectionsMax: 16,
  agentSilenceMs: 5 * SECOND_MS,
  /** Agent: how often it looks whether its socket and the keys' files are still there. */
  agentLookMs: 2 * SECOND_MS,
  /** Agent: from its start to its listening, on a slow machine. */
  agentStartMs: 20 * SECOND_MS,

  /** Characters of answers to lookups that are kept ready: some 6,500 certificates. */
  preparedCharactersMax: 16 * 1024 * 1024,

  /** One record of the log. */
  recordBytesMax: 1024 * 1024,
  /** A file of the log; the record that passes it is the last one in it. Read whole into memory. */
  segmentBytesMax: 32 * 1024 * 1024,
  /** Records that are redacted at once, read whole into memory: some 90,000 of a changed password. */
  redactionBytesMax: 64 * 1024 * 1024,
  /** Space that the log has ahead of its records: some 300 certificates. */
  logReserveBytes: 256 * 1024,
  /**
   * A snapshot is taken when the log has grown by this, and by as much as the last snapshot has. So
   * much is read by a start after a crash: some 20,000 certificates, in half a second.
   */
  snapshotBytesMin: 16 * 1024 * 1024,
  /** Until a checkpoint file that could not be written is tried again; at once for a revocation. */
  checkpointRetryMs: 10 * SECOND_MS,
  /** How long a checkpoint file is synced before who waits for that goes on without it, and says so. */
  checkpointSyncMs: 5 * SECOND_MS,
  /** A checkpoint, as a signed note: twice a trust domain of 200 characters, a root, a signature. */
  checkpointBytesMax: 2048,
  /** Between two copies of one user's certificates: a person sees no difference, a disk does. */
  copyPauseMs: SECOND_MS / 4,
  /** Until the copy of a certificate that could not be written is tried again. */
  copyRetryMs: 5 * SECOND_MS,
  /** From the end of a snapshot to the next, where something was redacted while it was taken. */
  snapshotForgetMs: SECOND_MS / 2,
  /** Until a snapshot that failed is tried again. */
  snapshotRetryMs: MINUTE_MS,
} as const;
