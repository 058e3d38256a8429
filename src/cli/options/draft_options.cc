#include "cli/options/draft_options.h"

#include <CLI/CLI.hpp>
#include <charconv>

#include "cli/terminal/resolve.h"

namespace facet::cli {
namespace {

constexpr int kMostDrafts = 16;

bool ParseDraft(const std::string& text, DraftOptions& options) {
  if (text == "off" || text == "auto") {
    options.mode = text == "off" ? DraftOptions::Mode::kOff : DraftOptions::Mode::kAuto;
    return true;
  }
  options.mode = DraftOptions::Mode::kFixed;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), options.length);
  return code == std::errc() && end == text.data() + text.size() && options.length >= 1 &&
         options.length <= kMostDrafts;
}

}  // namespace

void AddDraftFlags(CLI::App& command, DraftFlags& flags) {
  const char* group = "Drafting (never changes an answer)";
  command
      .add_option("--draft", flags.draft,
                  "Tokens guessed ahead and checked in one step: off, auto (as many as pay), or 1 "
                  "to 16")
      ->check(CLI::Validator(
          [](const std::string& text) {
            DraftOptions ignored;
            return ParseDraft(text, ignored) ? "" : Cat("off, auto or 1 to 16, not ", text);
          },
          "off|auto|N"))
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--drafter", flags.drafter,
                  "Drafter of the (first) model: a folder or a GGUF; else the one beside it")
      ->group(group);
}

Result<void> ApplyDraftFlags(const DraftFlags& flags, ModelSpec& spec, DraftOptions& options) {
  ParseDraft(flags.draft, options);
  if (flags.drafter.empty()) return Ok();
  if (options.mode == DraftOptions::Mode::kOff) return Error{"--drafter: --draft is off"};
  if (spec.script) return Error{"--drafter: a script has no drafter"};
  FACET_ASSIGN(const ModelFiles files, ResolveModel(flags.drafter));
  spec.files.drafter = files.model;
  return Ok();
}

}  // namespace facet::cli
