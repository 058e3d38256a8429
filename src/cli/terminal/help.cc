#include "cli/terminal/help.h"

#include "base/result.h"

namespace facet::cli {
namespace {

constexpr size_t kNameColumn = 30, kHelpWidth = 100;

// Words of `text` in lines that fit behind the first column.
std::string WrappedHelp(std::string name, const std::string& text) {
  std::string out = std::move(name);
  const std::string margin(kNameColumn, ' ');
  if (out.size() + 2 > kNameColumn) {
    out += "\n" + margin;
  } else {
    out.resize(kNameColumn, ' ');
  }
  size_t column = kNameColumn;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (column > kNameColumn && column + 1 + word.size() > kHelpWidth) {
      out += "\n" + margin;
      column = kNameColumn;
    } else if (column > kNameColumn) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    at = std::min(end + 1, text.size());
  }
  return out + "\n";
}

}  // namespace

std::string ValueName(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  std::string name = option.get_type_name();
  // CLI11 writes the type, a colon, and what a check says of itself.
  if (const size_t set = name.find('{'); set != name.npos && name.ends_with('}')) {
    std::string choice = name.substr(set + 1, name.size() - set - 2);
    for (char& c : choice) c = c == ',' ? '|' : c;
    return choice;
  }
  name.resize(std::min(name.find(':'), name.size()));
  name.resize(std::min(name.find(" in "), name.size()));
  if (name == "INT" || name == "UINT" || name == "FLOAT") return "N";
  return name.empty() ? "VALUE" : name;
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool positional) const {
  std::string name = "  " + make_option_name(option, positional);
  const std::string value = ValueName(*option);
  if (!positional && !value.empty()) name += " " + value;
  std::string text = option->get_description();
  if (!option->get_envname().empty()) text += Cat(" ($", option->get_envname(), ")");
  // Descriptions name the defaults that no single value says.
  const std::string usual = option->get_default_str();
  if (!usual.empty() && usual != "\"\"" && text.find("efault") == text.npos)
    text += Cat(" [", usual, "]");
  return WrappedHelp(name, text);
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
  // CLI11 puts two blank lines between groups.
  for (size_t at; (at = text.find("\n\n\n")) != text.npos;) text.erase(at, 1);
  return text;
}

}  // namespace facet::cli
