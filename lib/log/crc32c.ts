/**
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4), which tells a damaged record of the log from a
 * whole one. It guards against accidents only: whoever can write the file can fit a checksum.
 *
 * Eight bytes at a time ("slicing by 8"): a start reads the whole log through here. Signed tables
 * and plain indexing, because JavaScriptCore takes seven times as long with unsigned ones and a
 * DataView.
 */

/** 0x1EDC6F41 with its bits reversed, as the algorithm shifts right. */
const POLYNOMIAL = 0x82f63b78;

/** Table k, at `k * 256`, advances a byte past k more bytes. */
const TABLES = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256]!;
    tables[i] = (before >>> 8) ^ tables[before & 0xff]!;
  }
  return tables;
}

/**
 * The checksum of bytes, as an unsigned 32-bit number. What came before them goes into `previous`:
 * `crc32c(b, crc32c(a))` is the checksum of a followed by b.
 */
export function crc32c(bytes: Uint8Array, previous = 0): number {
  const t = TABLES; // One letter keeps the eight lines below readable.
  let crc = ~previous;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc = t[1792 + (bytes[at]! ^ (crc & 0xff))]! ^
      t[1536 + (bytes[at + 1]! ^ ((crc >>> 8) & 0xff))]! ^
      t[1280 + (bytes[at + 2]! ^ ((crc >>> 16) & 0xff))]! ^
      t[1024 + (bytes[at + 3]! ^ (crc >>> 24))]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
