/* SPDX-License-Identifier: MIT */
/*
 * crc32c.h - the checksum of recordings: CRC-32C (Castagnoli), as of iSCSI, ext4 and btrfs
 *
 * Chosen because processors compute it themselves, so that a recorder does not spend its time on it; elsewhere a table does.
 */
#ifndef ZCP_TOOLS_CRC32C_H
#define ZCP_TOOLS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Go on with @crc, what was returned for the bytes before; 0 for the first. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);

/* The same, never by the processor's own instruction: what crc32c() is tested against. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif
