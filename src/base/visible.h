// Text that a terminal shows and never obeys. What models, files, hubs and requests say may hold
// control sequences, which move the cursor, change colours, rename windows, or write on the
// clipboard.
#pragma once

#include <string>
#include <string_view>

namespace facet {

// The same text with an escape ("\x1B", "\u202E") for each control character, each character that
// changes the direction of what follows, and each byte that is not UTF-8. Tabs and ends of lines
// stay.
std::string Visible(std::string_view text);

// The same for what has to stay on one line.
std::string VisibleLine(std::string_view text);

// How many bytes at the end of `text` begin a character that is not complete.
size_t IncompleteBytes(std::string_view text);

}  // namespace facet
