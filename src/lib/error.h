/* SPDX-License-Identifier: MIT */
/*
 * error.h - the sentence behind an error code
 *
 * Every public function that fails leaves a sentence for zcp_last_error(), in the calling thread's own storage.
 * There are two ways to do so. error_set() formats, for failures that are rare. error_note() only stores a
 * pointer to a literal, for those that are part of normal life on the data path ("nothing there"), where
 * formatting would cost more than the call itself.
 */
#ifndef ZCP_LIB_ERROR_H
#define ZCP_LIB_ERROR_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* initial-exec: one pointer of static TLS instead of a function call for each access from within a shared library */
extern _Thread_local const char *error_last __attribute__((tls_model("initial-exec")));

/*
 * Store the formatted sentence; returns @err, a negative errno value. Arguments may point into the previous
 * sentence.
 */
int error_set(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with strerror text of @err behind "@what: ". */
int error_system(int err, const char *what);

/* Store @sentence, which must live for ever; returns @err. */
static inline int error_note(int err, const char *sentence)
{
	error_last = sentence;
	return err;
}

/* -EOWNERDEAD with its sentence. */
int error_forked(void);

#endif
