// `facet completion SHELL`: a script made from the commands and options as they are registered.
#include <CLI/CLI.hpp>
#include <iostream>
#include <set>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/commands/catalog.h"
#include "hub/short_names.h"

namespace facet::cli {
namespace {

// Commands whose first argument is the name of an imported model, whatever the help text calls it.
const std::set<std::string> kTakesName = {"show", "rm", "rename"};

// Whether names of models complete the command's arguments.
bool TakesModel(const CommandEntry& command) {
  for (const OptionEntry& option : command.options) {
    if (option.positional)
      return ToLower(option.names.front()) == "model" || kTakesName.contains(command.name);
  }
  return false;
}

std::string OneLine(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

// In single quotes of a shell.
std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What can be imported by a short name.
std::string ShortNameWords() {
  std::string out;
  for (const ShortName& name : ShortNames()) out += Cat(out.empty() ? "" : " ", name.name);
  return out;
}

std::string OptionWords(const CommandEntry& command) {
  std::string out;
  for (const OptionEntry& option : command.options) {
    if (option.positional) continue;
    for (const std::string& name : option.names) out += (out.empty() ? "" : " ") + name;
  }
  return out;
}

void PrintBash(const std::vector<CommandEntry>& commands) {
  std::string names;
  for (const CommandEntry& command : commands) names += (names.empty() ? "" : " ") + command.name;
  std::cout << "# bash completion: source <(facet completion bash)\n"
               "_facet() {\n"
               "  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
               "  COMPREPLY=()\n"
               "  if ((COMP_CWORD == 1)); then\n"
               "    COMPREPLY=($(compgen -W "
            << Quoted(names) << " -- \"$word\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n";
  for (const CommandEntry& command : commands) {
    std::cout << "    " << command.name << ") words=" << Quoted(OptionWords(command));
    if (TakesModel(command)) {
      std::cout << "; [[ $word == -* ]] || words=\"$(facet list --names 2>/dev/null)\"";
    } else if (command.name == "import") {
      std::cout << "; [[ $word == -* ]] || words=" << Quoted(ShortNameWords());
    }
    std::cout << " ;;\n";
  }
  std::cout << "  esac\n"
               "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
               "  [[ $word == -* ]] || COMPREPLY+=($(compgen -f -- \"$word\"))\n"
               "}\n"
               "complete -o filenames -F _facet facet\n";
}

void PrintZsh(const std::vector<CommandEntry>& commands) {
  std::cout << "#compdef facet\n# zsh completion: facet completion zsh > "
               "\"${fpath[1]}/_facet\"\n_facet() {\n"
               "  local -a items\n  if ((CURRENT == 2)); then\n    items=(\n";
  for (const CommandEntry& command : commands) {
    std::cout << "      " << Quoted(command.name + ":" + OneLine(command.description)) << "\n";
  }
  std::cout << "    )\n    _describe command items\n    return\n  fi\n  case $words[2] in\n";
  for (const CommandEntry& command : commands) {
    std::cout << "    " << command.name << ") items=(";
    for (const OptionEntry& option : command.options) {
      if (option.positional) continue;
      for (const std::string& name : option.names)
        std::cout << " " << Quoted(name + ":" + OneLine(option.description));
    }
    std::cout << " ) ;;\n";
  }
  std::cout << "  esac\n"
               "  if [[ $PREFIX == -* ]]; then\n    _describe option items\n    return\n  fi\n"
               "  local -a models=(${(f)\"$(facet list --names 2>/dev/null)\"})\n  case $words[2] "
               "in\n    ";
  std::string separator;
  for (const CommandEntry& command : commands) {
    if (!TakesModel(command)) continue;
    std::cout << separator << command.name;
    separator = "|";
  }
  std::cout << ") compadd -a models ;;\n  esac\n  _files\n}\n"
               "if [[ $funcstack[1] == _facet ]]; then _facet; else compdef _facet facet; fi\n";
}

void PrintFish(const std::vector<CommandEntry>& commands) {
  std::cout << "# fish completion: facet completion fish > ~/.config/fish/completions/facet.fish\n";
  for (const CommandEntry& command : commands) {
    std::cout << "complete -c facet -f -n __fish_use_subcommand -a " << command.name << " -d "
              << Quoted(OneLine(command.description)) << "\n";
    const std::string when = " -n " + Quoted("__fish_seen_subcommand_from " + command.name);
    if (TakesModel(command)) {
      std::cout << "complete -c facet" << when << " -a '(facet list --names 2>/dev/null)'\n";
    }
    for (const OptionEntry& option : command.options) {
      if (option.positional) continue;
      std::cout << "complete -c facet" << when;
      for (const std::string& name : option.names) {
        std::cout << (name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1));
      }
      std::cout << (option.value.empty() ? "" : " -r") << " -d "
                << Quoted(OneLine(option.description)) << "\n";
    }
  }
}

}  // namespace

void AddCompletion(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n  source <(facet completion bash)\n  facet completion fish > "
      "~/.config/fish/completions/facet.fish");
  command->callback([shell, &app, &exit_code] {
    const std::vector<CommandEntry> commands = DescribeCommands(app);
    if (*shell == "bash") PrintBash(commands);
    if (*shell == "zsh") PrintZsh(commands);
    if (*shell == "fish") PrintFish(commands);
    exit_code = 0;
  });
}

}  // namespace facet::cli
