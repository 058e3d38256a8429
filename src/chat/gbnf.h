// GBNF, the grammars of llama.cpp, to llguidance's Lark syntax.
// https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace facet {

// True where a grammar is written in GBNF and not in Lark.
bool IsGbnf(std::string_view grammar);

// Rules "start: ..." and what it needs, one a line. Errors name the line: no rule `root`, a rule
// that is named and not there or there twice, something that is no GBNF.
Result<std::string> LarkFromGbnf(std::string_view grammar);

}  // namespace facet
