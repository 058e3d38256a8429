#include "cli/options/json_options.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace facet::cli {
namespace {

using nlohmann::json;

bool IsFlag(const CLI::Option& option) {
  return option.get_items_expected_max() == 0;
}

// A value as it would stand on the command line.
Result<std::string> Word(const json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  return Expected("a text or a number", value.dump(), where);
}

Result<void> Set(CLI::Option& option, const json& value, const std::string& where) {
  try {
    if (IsFlag(option)) {
      if (!value.is_boolean()) return Expected("true or false", value.dump(), where);
      if (!value.get<bool>()) return Ok();
      option.add_result("true");
    } else if (value.is_array()) {
      for (const json& item : value) {
        FACET_ASSIGN(std::string word, Word(item, where));
        option.add_result(std::move(word));
      }
    } else {
      FACET_ASSIGN(std::string word, Word(value, where));
      option.add_result(std::move(word));
    }
    option.run_callback();
  } catch (const CLI::Error& error) {
    return Error{Cat(where, ": ", error.what())};
  }
  return Ok();
}

}  // namespace

Result<void> ApplyJsonOptions(CLI::App& command, const json& options, const std::string& where) {
  if (!options.is_object()) return Expected("an object", options.type_name(), where);
  for (const auto& [key, value] : options.items()) {
    CLI::Option* option = command.get_option_no_throw("--" + key);
    if (option == nullptr) option = command.get_option_no_throw(key);
    if (option == nullptr || key == "config" || key == "help") {
      return Error{Cat(where, ": there is no option \"", key, "\"")};
    }
    if (option->count() == 0) FACET_TRY(Set(*option, value, Cat(where, ": ", key)));
  }
  return Ok();
}

nlohmann::ordered_json JsonOptions(const CLI::App& command) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    const auto& names = option->get_lnames();
    const std::string name = names.empty() ? option->get_name() : names.front();
    if (IsFlag(*option)) {
      out[name] = true;
    } else if (option->get_items_expected_max() > 1) {
      out[name] = option->results();
    } else {
      out[name] = option->results().back();
    }
  }
  return out;
}

}  // namespace facet::cli
