#include "cli/terminal/chat_settings.h"

#include <charconv>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>

#include "base/picture_budget.h"
#include "hub/near_name.h"

namespace facet::cli {
namespace {

struct ChatSetting {
  const char *name, *help;
  std::function<std::string(const ChatSettings&)> show;
  std::function<Result<void>(std::string_view, ChatSettings&)> change;
};

template <typename T>
std::optional<T> ParsedNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <typename T>
std::string ShownNumber(T value) {
  return Cat(value);
}

// A number of the sampler; CheckSampling knows the ranges.
template <typename T>
ChatSetting SamplingSetting(const char* name, const char* help, T SamplingParams::*field) {
  return {name, help,
          [field](const ChatSettings& s) { return ShownNumber(s.reply.sampling.*field); },
          [name, field](std::string_view text, ChatSettings& s) -> Result<void> {
            const auto value = ParsedNumber<T>(text);
            if (!value) return Expected("a number", text, name);
            s.reply.sampling.*field = *value;
            return Ok();
          }};
}

ChatSetting BudgetSetting(const char* name, const char* help,
                          std::optional<int> MediaOptions::*field) {
  return {name, help,
          [field](const ChatSettings& s) {
            const std::optional<int>& budget = s.reply.media.*field;
            return budget ? ShownNumber(*budget) : std::string("auto");
          },
          [name, field](std::string_view text, ChatSettings& s) -> Result<void> {
            const auto value = ParsedNumber<int>(text);
            if (text != "auto" && !(value && IsPictureBudget(*value)))
              return Expected(Cat("auto, ", kPictureBudgetNames), text, name);
            s.reply.media.*field = text == "auto" ? std::nullopt : value;
            return Ok();
          }};
}

std::optional<bool> ParsedSwitch(std::string_view text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return std::nullopt;
}

std::vector<ChatSetting> MakeSettings() {
  std::vector<ChatSetting> out = {
      SamplingSetting("temperature", "0 = always the likeliest token",
                      &SamplingParams::temperature),
      SamplingSetting("top_k", "only the K likeliest; 0 = all", &SamplingParams::top_k),
      SamplingSetting("top_p", "only the likeliest that hold this probability",
                      &SamplingParams::top_p),
      SamplingSetting("min_p", "only tokens with this share of the likeliest one's",
                      &SamplingParams::min_p),
      SamplingSetting("repetition_penalty", "above 1: repeat less",
                      &SamplingParams::repetition_penalty),
      SamplingSetting("presence_penalty", "per token that was used",
                      &SamplingParams::presence_penalty),
      SamplingSetting("frequency_penalty", "per use of a token",
                      &SamplingParams::frequency_penalty),
      SamplingSetting("seed", "same seed, same text", &SamplingParams::seed),
  };
  out.push_back({"max_tokens", "longest answer; 0 = what the context leaves",
                 [](const ChatSettings& s) { return ShownNumber(s.reply.max_tokens); },
                 [](std::string_view text, ChatSettings& s) -> Result<void> {
                   const auto value = ParsedNumber<int>(text);
                   if (!value || *value < 0 || *value > 1 << 24)
                     return Expected("a number of tokens", text, "max_tokens");
                   s.reply.max_tokens = *value;
                   return Ok();
                 }});
  out.push_back({"think", "on, off or auto, where the model can think",
                 [](const ChatSettings& s) -> std::string {
                   if (!s.reply.thinking) return "auto";
                   return *s.reply.thinking ? "on" : "off";
                 },
                 [](std::string_view text, ChatSettings& s) -> Result<void> {
                   if (text != "auto" && !ParsedSwitch(text))
                     return Expected("on, off or auto", text, "think");
                   s.reply.thinking = ParsedSwitch(text);
                   return Ok();
                 }});
  out.push_back(BudgetSetting("image_budget", "soft tokens of a picture at most",
                              &MediaOptions::image_budget));
  out.push_back(BudgetSetting("video_budget", "soft tokens of a film's frame at most",
                              &MediaOptions::video_budget));
  out.push_back({"fps", "frames of a film that are seen a second",
                 [](const ChatSettings& s) { return ShownNumber(s.reply.media.frames_per_second); },
                 [](std::string_view text, ChatSettings& s) -> Result<void> {
                   const auto value = ParsedNumber<double>(text);
                   if (!value || !(*value >= 0.01 && *value <= 60))
                     return Expected("a number from 0.01 to 60", text, "fps");
                   s.reply.media.frames_per_second = *value;
                   return Ok();
                 }});
  out.push_back({"stats", "on or off: tokens and speeds after each answer",
                 [](const ChatSettings& s) -> std::string { return s.stats ? "on" : "off"; },
                 [](std::string_view text, ChatSettings& s) -> Result<void> {
                   const auto value = ParsedSwitch(text);
                   if (!value) return Expected("on or off", text, "stats");
                   s.stats = *value;
                   return Ok();
                 }});
  return out;
}

const std::vector<ChatSetting>& AllSettings() {
  static const std::vector<ChatSetting> settings = MakeSettings();
  return settings;
}

}  // namespace

std::vector<std::string> SettingNames() {
  std::vector<std::string> names;
  for (const ChatSetting& setting : AllSettings()) names.emplace_back(setting.name);
  return names;
}

std::string ShowSettings(const ChatSettings& settings) {
  std::string out;
  for (const ChatSetting& setting : AllSettings()) {
    char line[128];
    std::snprintf(line, sizeof(line), "%-20s %-12s %s\n", setting.name,
                  setting.show(settings).c_str(), setting.help);
    out += line;
  }
  return out;
}

Result<void> ChangeSetting(std::string_view name, std::string_view value, int vocab,
                           ChatSettings& settings) {
  for (const ChatSetting& setting : AllSettings()) {
    if (setting.name != name) continue;
    ChatSettings changed = settings;
    FACET_TRY(setting.change(value, changed));
    FACET_TRY(CheckSampling(changed.reply.sampling, vocab));
    settings = std::move(changed);
    return Ok();
  }
  const auto near = NearestName(name, SettingNames());
  return Error{Cat("no setting is called ", name,
                   near ? Cat("; did you mean ", *near, "?") : "; /set lists them"),
               ErrorKind::kNotFound};
}

}  // namespace facet::cli
