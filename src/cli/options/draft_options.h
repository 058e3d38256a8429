// The options --draft and --drafter of every command that generates.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/model_pool.h"

namespace CLI {
class App;
}

namespace facet::cli {

struct DraftFlags {
  std::string draft = "auto", drafter;
};

void AddDraftFlags(CLI::App& command, DraftFlags& flags);

// Sets how to draft, and with what. Errors: a drafter although drafting is off or the model is a
// script, one that is not found.
Result<void> ApplyDraftFlags(const DraftFlags& flags, ModelSpec& spec, DraftOptions& options);

}  // namespace facet::cli
