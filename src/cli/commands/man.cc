// `facet man FOLDER`: man pages made from the commands and options as they are registered. For
// packages: the build runs it and installs what it writes.
#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/mapped_file.h"
#include "cli/commands.h"
#include "cli/commands/catalog.h"
#include "cli/terminal/report.h"

namespace facet::cli {
namespace {

namespace fs = std::filesystem;

// Text in roff, where a backslash, a hyphen, and a dot or a quote at the start of a line have
// meanings of their own.
std::string Roff(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '.' || c == '\'') && (i == 0 || text[i - 1] == '\n')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Bold(std::string_view text) {
  return "\\fB" + Roff(text) + "\\fR";
}

std::string Italic(std::string_view text) {
  return "\\fI" + Roff(text) + "\\fR";
}

std::string TitleLine(std::string name) {
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return Cat(".TH ", Roff(name), " 1 \"\" \"facet ", FACET_VERSION, "\" \"facet\"\n");
}

std::string NameSection(const std::string& name, const std::string& description) {
  return Cat(".SH NAME\n", Roff(name), " \\- ", Roff(description), "\n");
}

// Lines as they are.
std::string Verbatim(std::string_view text) {
  return Cat(".PP\n.nf\n", Roff(text), "\n.fi\n");
}

// What a footer says before its examples, and the examples.
std::string FooterSections(const std::string& footer) {
  if (footer.empty()) return "";
  size_t examples = footer.find("Example:");
  const size_t several = footer.find("Examples:");
  examples = std::min(examples, several);
  std::string out;
  if (examples > 0) {
    std::string notes = footer.substr(0, examples);
    while (!notes.empty() && notes.back() == '\n') notes.pop_back();
    out += ".SH NOTES\n" + Verbatim(notes);
  }
  if (examples == std::string::npos) return out;
  std::string text = footer.substr(footer.find(':', examples) + 1);
  text.erase(0, text.find_first_not_of(several == examples ? "\n" : " \n"));
  return out + ".SH EXAMPLES\n" + Verbatim(text);
}

std::string OptionParagraph(const OptionEntry& option) {
  std::string head;
  for (const std::string& name : option.names)
    head += (head.empty() ? "" : ", ") + (option.positional ? Italic(name) : Bold(name));
  if (!option.value.empty()) head += " " + Italic(option.value);
  std::string out = Cat(".TP\n", head, "\n", Roff(option.description));
  if (!option.usual.empty()) out += Cat(" (default: ", Roff(option.usual), ")");
  if (!option.variable.empty()) out += Cat(" (else the environment's ", Bold(option.variable), ")");
  return out + "\n";
}

std::string Options(const CommandEntry& command) {
  std::string arguments, out;
  std::vector<std::pair<std::string, std::string>> groups;  // in the order of the help text
  for (const OptionEntry& option : command.options) {
    if (option.positional) {
      arguments += OptionParagraph(option);
      continue;
    }
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& g) { return g.first == option.group; });
    if (group == groups.end()) {
      groups.emplace_back(option.group, OptionParagraph(option));
    } else {
      group->second += OptionParagraph(option);
    }
  }
  if (!arguments.empty()) out += ".SH ARGUMENTS\n" + arguments;
  for (const auto& [name, text] : groups)
    out += (name == "Options" ? ".SH OPTIONS\n" : ".SS " + Roff(name) + "\n") + text;
  return out;
}

std::string Synopsis(const CommandEntry& command) {
  std::string out =
      Cat(".SH SYNOPSIS\n", Bold("facet " + command.name), " [", Italic("options"), "]");
  for (const OptionEntry& option : command.options) {
    if (!option.positional) continue;
    const std::string word = Italic(option.names.front()) + (option.many ? " ..." : "");
    out += option.required ? " " + word : Cat(" [", word, "]");
  }
  return out + "\n";
}

std::string CommandPage(const CommandEntry& command) {
  const std::string name = "facet-" + command.name;
  return TitleLine(name) + NameSection(name, command.description) + Synopsis(command) +
         Options(command) + FooterSections(command.footer) + ".SH SEE ALSO\n" + Bold("facet") +
         "(1)\n";
}

std::string ProgramPage(const CLI::App& app) {
  const CommandEntry program = DescribeCommand(app);
  std::string out = TitleLine("facet") +
                    NameSection("facet", "run, serve and tune Gemma 4 on your own machine") +
                    Cat(".SH SYNOPSIS\n", Bold("facet"), " ", Italic("command"), " [",
                        Italic("options"), "] [", Italic("arguments"), "]\n") +
                    Cat(".SH DESCRIPTION\n", Roff(program.description), "\n");
  std::string group;
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); })) {
    if (group.empty()) out += ".SH COMMANDS\n";
    if (command->get_group() != group) out += Cat(".SS ", Roff(command->get_group()), "\n");
    group = command->get_group();
    out += Cat(".TP\n", Bold("facet-" + command->get_name()), "(1)\n",
               Roff(command->get_description()), "\n");
  }
  return out + Options(program) + FooterSections(program.footer);
}

Result<void> WritePages(const CLI::App& app, const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  FACET_TRY(WriteFile(folder / "facet.1", ProgramPage(app)));
  for (const CommandEntry& command : DescribeCommands(app))
    FACET_TRY(WriteFile(folder / Cat("facet-", command.name, ".1"), CommandPage(command)));
  return Ok();
}

}  // namespace

void AddMan(CLI::App& app, int& exit_code) {
  auto folder = std::make_shared<fs::path>();
  CLI::App* command = app.add_subcommand("man", "Write the man pages, for packages");
  command->add_option("FOLDER", *folder, "Where to: facet.1, facet-run.1 and so on")->required();
  command->callback([folder, &app, &exit_code] { exit_code = Report(WritePages(app, *folder)); });
}

}  // namespace facet::cli
