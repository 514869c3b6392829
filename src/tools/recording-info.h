/* SPDX-License-Identifier: MIT */
/*
 * recording-info.h - what is in a recording, for people or as JSON
 */
#ifndef ZCP_TOOLS_RECORDING_INFO_H
#define ZCP_TOOLS_RECORDING_INFO_H

#include <stdbool.h>

/* `zcp record --info PATH`. Returns the exit status: TOOL_OK also for a file that was not finished, TOOL_FAILURE if something in it is damaged. */
int recording_info(const char *path, bool json);

#endif
