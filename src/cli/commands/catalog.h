// The commands and options as they are registered, for what is made from them: completion scripts
// and man pages.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace facet::cli {

struct OptionEntry {
  std::vector<std::string> names;  // "--threads", "-t"; of an argument without dashes: its name
  std::string value;               // "INT"; empty: a flag or an argument
  std::string description, group;
  std::string usual;     // the default, where it is shown
  std::string variable;  // of the environment, used where the option is not given
  bool positional = false, required = false, many = false;
};

struct CommandEntry {
  std::string name, description, footer;
  std::vector<OptionEntry> options;
};

CommandEntry DescribeCommand(const CLI::App& command);

// Those that the help text lists, in its order.
std::vector<CommandEntry> DescribeCommands(const CLI::App& app);

}  // namespace facet::cli
