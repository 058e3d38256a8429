#include "cli/options/drafter_options.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace facet::cli {
namespace {

constexpr const char* kNotOfDrafters[] = {
    "--full",   "--rank",         "--alpha",       "--dropout",   "--targets",
    "--rslora", "--train-vision", "--train-audio", "--tokenizer", "--optimizer"};
constexpr const char* kOfDrafters[] = {"--layers",      "--width",     "--ffn",
                                       "--drafts",      "--prompts",   "--answer-tokens",
                                       "--temperature", "--given-text"};

}  // namespace

void AddDrafterOptions(CLI::App& command, DrafterFlags& flags) {
  const char* group = "A drafter";
  const auto add = [&](const char* names, auto& value, const char* help) {
    return command.add_option(names, value, help)->group(group);
  };
  command
      .add_flag(
          "--drafter", flags.on,
          "Train a drafter for MODEL from MODEL's own text; --from a drafter goes on with it, "
          "--init takes a drafter's config.json")
      ->group(group);
  add("--layers", flags.shape.layers, "Layers of a new drafter")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  add("--width", flags.shape.width,
      "Its width [a quarter of the model's, at least 256 or the model's]")
      ->check(CLI::Range(1, 1 << 20));
  add("--ffn", flags.shape.ffn, "Its feed-forward width [twice its width]")
      ->check(CLI::Range(1, 1 << 20));
  add("--drafts", flags.drafts, "Drafts of a round that are trained")
      ->check(CLI::Range(2, 16))
      ->capture_default_str();
  add("--prompts", flags.prompts,
      "Examples whose prompts MODEL answers, of the data and of --validation each; 0 = all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  add("--answer-tokens", flags.answer_tokens, "Tokens of such an answer at most")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  add("--temperature", flags.temperature, "Of the answers, 0 = greedy [MODEL's own default]")
      ->check(CLI::Range(0.0, 100.0));
  command
      .add_flag("--given-text", flags.given_text,
                "Learn on the answers of the data, instead of MODEL's own")
      ->group(group);
}

Result<void> CheckDrafterOptions(const CLI::App& command, const DrafterFlags& flags) {
  for (const char* option : kOfDrafters) {
    if (!flags.on && command.count(option) > 0)
      return Error{Cat(option, ": is about a drafter, and needs --drafter")};
  }
  for (const char* option : kNotOfDrafters) {
    if (flags.on && command.count(option) > 0)
      return Error{Cat(option,
                       ": does not go with --drafter, which trains a drafter and leaves "
                       "the model as it is"),
                   ErrorKind::kUnsupported};
  }
  for (const char* option : {"--layers", "--width", "--ffn"}) {
    const bool given = command.count("--from") > 0 || command.count("--init") > 0;
    if (flags.on && given && command.count(option) > 0)
      return Error{Cat(option, ": the drafter's shape is that of --from or --init")};
  }
  for (const char* option : {"--prompts", "--answer-tokens", "--temperature"}) {
    if (flags.given_text && command.count(option) > 0)
      return Error{Cat(option, ": is about the model's own answers, and --given-text has none")};
  }
  return Ok();
}

nlohmann::ordered_json DescribeDrafterMethod(const DrafterFlags& flags) {
  nlohmann::ordered_json own = nullptr;
  if (!flags.given_text) {
    own = {{"prompts", flags.prompts}, {"answer_tokens", flags.answer_tokens}};
    if (flags.temperature) own["temperature"] = *flags.temperature;
  }
  return {{"drafts", flags.drafts}, {"own_text", own}};
}

}  // namespace facet::cli
