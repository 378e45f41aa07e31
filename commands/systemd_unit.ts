/**
 * The systemd unit that `pki serve --print-unit` prints: a service with as few rights as the server
 * gets by with. Checked by systemd's own tools in the tests; described in `docs/operations.md`.
 */

import { type GivenSettings, optionOf, SETTING_NAMES } from "./server_settings.ts";

/** Where the unit expects the program; anything below /home or /tmp is hidden from it. */
export const UNIT_PROGRAM = "/usr/local/bin/pki";
const DEFAULT_PASSPHRASE_FILE = "/etc/pki/passphrase";

/** A word of a command line as systemd reads it (systemd.service(5), "Command lines"). */
export function quoteForUnit(word: string): string {
  const escaped = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%")
    .replaceAll("$", "$$$$");
  return /^[\w.:/@+=,%-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** The unit for a server with these settings, given as options. */
export function printUnit(
  { passphraseFile = DEFAULT_PASSPHRASE_FILE, ...given }: GivenSettings,
): string {
  const options = SETTING_NAMES.flatMap((name) => {
    const value = name === "passphraseFile" ? undefined : given[name];
    if (value === undefined || value === false) return [];
    return value === true ? [optionOf(name)] : [optionOf(name), quoteForUnit(String(value))];
  });
  const command = [
    UNIT_PROGRAM,
    "serve",
    "--passphrase-file",
    "${CREDENTIALS_DIRECTORY}/passphrase",
    ...options,
  ].join(" ");
  return `# /etc/systemd/system/pki.service
#
#   install -m 755 pki ${UNIT_PROGRAM}
#   install -d -m 700 ${passphraseFile.replace(/\/[^/]*$/, "") || "/"}
#   (umask 077; openssl rand -base64 32 > ${passphraseFile})    # keep a copy elsewhere
#   pki serve --print-unit > /etc/systemd/system/pki.service
#   systemctl daemon-reload && systemctl enable --now pki
#
# Settings: pki.json in /var/lib/pki/server, or PKI_SERVE_... in /etc/pki/environment.
# Administration, as root: PKI_HOME=/var/lib/pki pki invite

[Unit]
Description=pki certificate authority and directory
Documentation=file:/usr/local/share/doc/pki/operations.md
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
# It is systemd-notify that speaks for the server, as a process of its own.
NotifyAccess=all
ExecStart=${command}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PKI_HOME=%S/pki
EnvironmentFile=-/etc/pki/environment
WatchdogSec=60
TimeoutStartSec=120
TimeoutStopSec=30
Restart=on-failure
RestartSec=5
# Another start does not help: wrong options, configuration, passphrase. After 9 it may: a disk that
# was full or not mounted. A start that fails changes nothing.
RestartPreventExitStatus=2 3 4 5

# The keys' passphrase is readable for root alone; the service gets a copy that nobody else sees.
LoadCredential=passphrase:${passphraseFile.replaceAll("%", "%%")}
DynamicUser=yes
StateDirectory=pki
StateDirectoryMode=0700
UMask=0077

# One thread and some files for each connection.
LimitNOFILE=65536
TasksMax=16384
LimitCORE=0

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: the engine compiles JavaScript while it runs.

[Install]
WantedBy=multi-user.target
`;
}
