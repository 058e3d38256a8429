#include "cli/commands/catalog.h"

#include <CLI/CLI.hpp>

#include "cli/terminal/help.h"

namespace facet::cli {
namespace {

OptionEntry DescribeOption(const CLI::Option& option) {
  OptionEntry out;
  out.description = option.get_description();
  out.group = option.get_group();
  out.usual = option.get_default_str();
  out.variable = option.get_envname();
  out.positional = option.get_positional();
  out.required = option.get_required();
  out.many = option.get_items_expected_max() > 1;
  if (out.positional) {
    out.names.push_back(option.get_name());
    return out;
  }
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  out.value = ValueName(option);
  return out;
}

}  // namespace

CommandEntry DescribeCommand(const CLI::App& command) {
  CommandEntry out{command.get_name(), command.get_description(), command.get_footer(), {}};
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_group().empty()) out.options.push_back(DescribeOption(*option));
  }
  return out;
}

std::vector<CommandEntry> DescribeCommands(const CLI::App& app) {
  std::vector<CommandEntry> out;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) out.push_back(DescribeCommand(*command));
  }
  return out;
}

}  // namespace facet::cli
