// The program's standard streams: what holds for all commands alike.
#pragma once

#include "base/result.h"

namespace facet::cli {

// Takes the places of standard streams that the caller has closed, so that no file opened later
// gets a number that results or messages are written to. Writing to such a stream fails.
void HoldClosedStreams();

// Lets the terminal's line editor read UTF-8, whatever the locale is called.
void UseUtf8();

// From now on std::cout, where it is a terminal, and std::cerr show control characters instead of
// sending them (base/visible.h). Colours and the redrawing of lines are this folder's alone, which
// writes them with stdio.
void ShowControlCharacters();

// printf to std::cout and std::cerr.
[[gnu::format(printf, 1, 2)]] void Print(const char* format, ...);
[[gnu::format(printf, 1, 2)]] void PrintError(const char* format, ...);

// Text with colours of the program's own, to stdout as it is: whoever made it has made the rest of
// it visible.
void PrintColoured(const std::string& text);

// Writes out what is buffered for stdout. The error of a full disk or a closed stream, whenever it
// came up.
Result<void> FlushOutput();

}  // namespace facet::cli
