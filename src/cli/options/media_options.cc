#include "cli/options/media_options.h"

#include "base/picture_budget.h"

namespace facet::cli {

void AddMediaOptions(CLI::App& command, MediaOptions& media) {
  const std::set<int> budgets(std::begin(kPictureBudgets), std::end(kPictureBudgets));
  const auto add = [&](const char* name, std::optional<int>& budget, const char* help) {
    command.add_option(name, budget, help)->check(CLI::IsMember(budgets))->group("Media");
  };
  add("--image-budget", media.image_budget,
      "Soft tokens of a picture at most (default: the checkpoint's, or 280)");
  add("--video-budget", media.video_budget,
      "Soft tokens of a film's frame at most (default: the checkpoint's, or 70)");
  AddTransparency(command, media.limits.transparency);
  command.add_option("--fps", media.frames_per_second, "Frames of a film that are seen a second")
      ->check(CLI::Range(0.01, 60.0))
      ->capture_default_str()
      ->group("Media");
}

void AddTransparency(CLI::App& command, media::Transparency& transparency) {
  static const std::map<std::string, media::Transparency> kTransparency = {
      {"white", media::Transparency::kWhite}, {"drop", media::Transparency::kDropped}};
  command
      .add_option_function<std::string>(
          "--transparency",
          [&transparency](const std::string& name) { transparency = kTransparency.at(name); },
          "What is behind transparent pixels: white, or the colours that the file keeps there "
          "(drop)")
      ->check(CLI::IsMember({"white", "drop"}))
      ->default_str("white")
      ->group("Media");
}

}  // namespace facet::cli
