#include "cli/options/byte_size.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace facet::cli {
namespace {

constexpr const char* kExpected = "bytes such as 800MB, 2.5GB or 12GiB";

// The factor of a unit in lower case; 0 where it is none.
double UnitFactor(std::string_view unit) {
  constexpr std::string_view kPrefixes = "kmgtpe";
  if (unit.empty() || unit == "b") return 1;
  const size_t power = kPrefixes.find(unit.front());
  if (power == kPrefixes.npos) return 0;
  unit.remove_prefix(1);
  const bool binary = unit.starts_with('i');
  if (binary) unit.remove_prefix(1);
  if (!unit.empty() && unit != "b") return 0;
  return std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
}

}  // namespace

Result<uint64_t> ParseByteSize(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  // Digits and one point: no sign, no exponent, no "inf".
  const size_t digits = std::min(trimmed.find_first_not_of("0123456789."), trimmed.size());
  const std::string_view number = trimmed.substr(0, digits);
  double value = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), value);
  const double factor = UnitFactor(ToLower(Trim(trimmed.substr(digits))));
  if (number.empty() || code != std::errc() || end != number.data() + number.size() || factor == 0)
    return Error{Cat("expected ", kExpected, " but got ", text)};
  uint64_t whole = 0;
  const auto [stop, exact] = std::from_chars(number.data(), number.data() + number.size(), whole);
  if (factor == 1 && exact == std::errc() && stop == number.data() + number.size()) return whole;
  value *= factor;
  if (value >= std::pow(2.0, 64)) return Error{Cat("expected ", kExpected, " but got ", text)};
  return static_cast<uint64_t>(value);
}

CLI::Option* AddByteSize(CLI::App& command, const char* option, uint64_t& bytes, const char* help) {
  const auto parse = [](std::string& text) -> std::string {
    const auto size = ParseByteSize(text);
    if (!size.ok()) return size.error().message;
    text = std::to_string(*size);
    return "";
  };
  return command.add_option(option, bytes, help)
      ->type_name("SIZE")
      ->transform(CLI::Validator(parse, ""));
}

}  // namespace facet::cli
