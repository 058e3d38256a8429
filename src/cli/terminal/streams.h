// The program's standard streams: what holds for all commands alike.
#pragma once

#include "base/result.h"

namespace facet::cli {

// Takes the places of standard streams that the caller has closed, so that no file opened later
// gets a number that results or messages are written to. Writing to such a stream fails.
void HoldClosedStreams();

// Lets the terminal's line editor read UTF-8, whatever the locale is called.
void UseUtf8();

// Writes out what is buffered for stdout. The error of a full disk or a closed stream, whenever it
// came up.
Result<void> FlushOutput();

}  // namespace facet::cli
