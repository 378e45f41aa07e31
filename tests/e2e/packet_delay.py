"""Delays every packet that a router sends through a TUN device; run by network.ts.

    packet_delay.py DEVICE MILLISECONDS

What the kernel routes into the device comes back out of it so much later, in the same order. Says
"ready" when it has begun.
"""

import collections
import fcntl
import os
import select
import struct
import sys
import time

# From <linux/if_tun.h>: attach to a device, of IP packets, without four bytes before each.
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

PACKET_BYTES_MAX = 65536
# More than a line of 1 Gbit/s holds in a tenth of a second; what comes on top is lost, as it is there.
PACKETS_MAX = 8192


def main(device, delay_s):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    print("ready", flush=True)
    waiting = collections.deque()
    while True:
        timeout_s = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([tun], [], [], timeout_s)[0]:
            try:
                while len(waiting) < PACKETS_MAX:
                    packet = os.read(tun, PACKET_BYTES_MAX)
                    waiting.append((time.monotonic() + delay_s, packet))
            except BlockingIOError:
                pass
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            try:
                os.write(tun, waiting.popleft()[1])
            except OSError:
                pass  # the router has no way for it: it is lost, as on any network


main(sys.argv[1], float(sys.argv[2]) / 1000)
