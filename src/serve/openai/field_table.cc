#include "serve/openai/field_table.h"

namespace facet::serve {

const char* TypeName(const OrderedJson& value) {
  if (value.is_boolean()) return "boolean";
  if (value.is_number_integer()) return "integer";
  if (value.is_number()) return "number";
  return value.is_array() ? "list" : "string";
}

std::string IntegerLimits(int64_t low, int64_t high) {
  // The ends of int32 and int64 say that there is no limit of the field's own.
  const bool no_low = low == INT64_MIN, no_high = high >= INT32_MAX;
  if (no_low) return no_high ? "" : Cat("at most ", high);
  return no_high ? Cat("from ", low) : Cat(low, " to ", high);
}

std::string NumberLimits(double low, double high) {
  return Cat(low, " to ", high);
}

std::string ChoiceLimits(const std::vector<std::string_view>& values) {
  std::string out;
  for (const std::string_view value : values) out += Cat(out.empty() ? "" : ", ", "`", value, "`");
  return out;
}

std::string TextLimits(size_t max_bytes) {
  return max_bytes == SIZE_MAX ? "" : Cat("at most ", max_bytes, " bytes");
}

}  // namespace facet::serve
