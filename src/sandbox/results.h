// What came out of a sandbox, made harmless.
#pragma once

#include <string>
#include <string_view>

#include "sandbox/sandbox.h"
#include "sandbox/worker.h"

namespace facet::sandbox {

// UTF-8 without escape sequences and control characters but \n and \t, and without those that
// change the direction of text; of more than `most` bytes the middle is left out, with a line that
// says how much.
std::string CleanText(std::string_view text, size_t most);

// True for a relative name below a folder: no "..", no part that begins with a dot, no control
// characters, at most eight parts of 120 bytes.
bool IsPlainName(std::string_view name);

Outcome MakeOutcome(RawOutcome raw, const Limits& limits);

}  // namespace facet::sandbox
