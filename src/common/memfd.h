/* SPDX-License-Identifier: MIT */
/*
 * memfd.h - sealed segments: how the router makes them and how everyone else checks them
 *
 * The life of a segment in three steps, each one function: memfd_create_segment() (size fixed for ever), then
 * its one writer maps it read-write, then memfd_seal_writer() - from there on nobody can obtain a new writable
 * mapping - and only then memfd_reader_fd() makes the descriptor that readers get. A reader trusts nothing:
 * memfd_map_reader() checks seals, size and kind of file itself.
 */
#ifndef ZCP_COMMON_MEMFD_H
#define ZCP_COMMON_MEMFD_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>

/* Seals of a segment its writer may still map, and of one that readers may see. */
#define MEMFD_SEALS_SIZE (F_SEAL_SHRINK | F_SEAL_GROW)
#define MEMFD_SEALS_READER (MEMFD_SEALS_SIZE | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/*
 * Create a memfd of @size bytes (a multiple of the page size, > 0) named "zcp:@label", close-on-exec, mode 0600
 * (other uids cannot reopen it through /proc), MFD_NOEXEC_SEAL where the kernel has it (6.3), size sealed. No
 * memory is allocated: pages come with the writer's first touch and are charged to it. Returns the descriptor,
 * which the caller owns, or a negative errno value (-EFBIG: RLIMIT_FSIZE or file size limit; SIGXFSZ must be
 * ignored by the process).
 */
int memfd_create_segment(const char *label, uint64_t size);

/*
 * The same of huge pages, of the size that the kernel has as default; *size is rounded up to them. That the kernel has pages to
 * spare shows only when the writer maps it, which is when they are reserved: -ENOMEM then, and never SIGBUS later. The
 * descriptor, or a negative errno value: not on this machine.
 */
int memfd_create_huge(const char *label, uint64_t *size);

/* What @size is rounded up to if @fd is a file of huge pages. */
uint64_t memfd_round_size(int fd, uint64_t size);

/* Ask for transparent huge pages for a mapping of a segment. Advice: nothing is said if the kernel does not follow it. */
void memfd_advise_huge(const void *mapping, uint64_t size);

/*
 * Add F_SEAL_FUTURE_WRITE|F_SEAL_SEAL. @fd must be the read-write descriptor of memfd_create_segment(). 0 or
 * negative errno.
 */
int memfd_seal_writer(int fd);

/*
 * A new read-only open file description of segment @fd (through /proc/self/fd), or where /proc is missing a
 * plain duplicate, for which the seals alone are the protection. Returns a descriptor the caller owns, or a
 * negative errno value.
 */
int memfd_reader_fd(int fd);

/*
 * Whether @fd is what memfd_create_segment(@label, @size) of a process of our effective uid once made, sealed for readers
 * since: a memfd of that name (only its maker could choose it), owner, mode, size and seals. It says nothing about who may
 * have mapped it writable before it was sealed, nor about its contents. 0; -EBADF no memfd; -EPERM seals missing;
 * -EMSGSIZE another size; -EACCES another owner or mode; -ESTALE another name; -ENOENT no /proc to look the name up.
 */
int memfd_check_origin(int fd, const char *label, uint64_t size);

/*
 * Whether @fd is an eventfd: 0; -EINVAL it is something else; -ENOENT no /proc to find out. A descriptor that others will
 * write to must be one: what they would write into a file, they would write with their rights.
 */
int memfd_check_eventfd(int fd);

/*
 * Map segment @fd for its writer: checks that it is a memfd with at least the seals MEMFD_SEALS_SIZE and
 * exactly @size bytes, then maps it MAP_SHARED read-write with MADV_DONTFORK. 0 and *mapping, or: -EBADF (not a
 * sealable memfd), -EPERM (seals missing), -EMSGSIZE (size differs), or what mmap says. Unmap with
 * munmap(*mapping, size). @fd stays the caller's.
 */
int memfd_map_writer(int fd, uint64_t size, void **mapping);

/* The same for a reader: all of MEMFD_SEALS_READER must be set; PROT_READ only. */
int memfd_map_reader(int fd, uint64_t size, const void **mapping);

/* Only the first *part bytes of it, rounded up as its pages are: *part is what to unmap. */
int memfd_map_beginning(int fd, uint64_t size, uint64_t *part, const void **mapping);

#endif
