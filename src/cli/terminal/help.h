// Help texts: what a person needs of an option, without the parser's own notes.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace facet::cli {

// What stands for an option's value: "N", "q8_0|q4_0|q4_k", "TEXT"; empty for a flag.
std::string ValueName(const CLI::Option& option);

// One line an option, wrapped: its names, its value, what it does, what it is by default.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool positional) const override;
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

}  // namespace facet::cli
