// Two spellings of the API's fields, and its own kind of schema.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "base/text.h"
#include "serve/gemini/gemini.h"

namespace facet::serve {
namespace {

// Their members are the client's own names.
constexpr std::array<std::string_view, 9> kOfTheClient = {
    "args",           "response",           "parameters",          "parametersJsonSchema",
    "responseSchema", "responseJsonSchema", "_responseJsonSchema", "labels",
    "partMetadata"};

std::string CamelName(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool joins = name[i] == '_' && i > 0 && i + 1 < name.size();
    if (joins) {
      out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(name[++i]))));
    } else {
      out.push_back(name[i]);
    }
  }
  return out;
}

// Numbers of 64 bits are texts in this API.
void ReadWideNumber(OrderedJson& value) {
  if (!value.is_string()) return;
  const auto& text = value.get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code == std::errc() && end == text.data() + text.size()) value = number;
}

// Properties in the order that the schema asks for; others behind them.
OrderedJson InOrder(OrderedJson properties, const OrderedJson& order) {
  OrderedJson out = OrderedJson::object();
  for (const OrderedJson& name : order) {
    if (name.is_string() && properties.contains(name.get_ref<const std::string&>()))
      out[name.get_ref<const std::string&>()] = properties[name.get_ref<const std::string&>()];
  }
  for (const auto& [name, property] : properties.items()) {
    if (!out.contains(name)) out[name] = property;
  }
  return out;
}

OrderedJson EachSchema(OrderedJson schemas) {
  for (auto& schema : schemas) schema = JsonSchema(std::move(schema));
  return schemas;
}

// One keyword; `to` may already have others.
void AddKeyword(const std::string& key, OrderedJson value, OrderedJson& to) {
  if (key == "type" && value.is_string()) {
    std::string type = ToLower(value.get_ref<const std::string&>());
    if (type != "type_unspecified") to["type"] = std::move(type);
  } else if (key == "properties" || key == "anyOf" || key == "defs" || key == "$defs") {
    to[key == "defs" ? "$defs" : key] = EachSchema(std::move(value));
  } else if (key == "items" || (key == "additionalProperties" && value.is_object())) {
    to[key] = JsonSchema(std::move(value));
  } else if (key == "ref") {
    to["$ref"] = std::move(value);
  } else if (key == "format" && (value == "enum" || value == "int32" || value == "int64" ||
                                 value == "float" || value == "double")) {
    return;  // says no more than the type
  } else {
    if (key.starts_with("min") || key.starts_with("max")) ReadWideNumber(value);
    to[key] = std::move(value);
  }
}

}  // namespace

OrderedJson CamelFields(OrderedJson value) {
  if (value.is_array()) {
    for (OrderedJson& item : value) item = CamelFields(std::move(item));
    return value;
  }
  if (!value.is_object()) return value;
  OrderedJson out = OrderedJson::object();
  for (auto& [key, member] : value.items()) {
    std::string name = CamelName(key);
    const bool own =
        std::find(kOfTheClient.begin(), kOfTheClient.end(), name) != kOfTheClient.end();
    out[name] = own ? std::move(member) : CamelFields(std::move(member));
  }
  return out;
}

OrderedJson JsonSchema(OrderedJson schema) {
  if (!schema.is_object()) return schema;
  OrderedJson out = OrderedJson::object(), order;
  bool nullable = false;
  for (auto& [key, value] : schema.items()) {
    const std::string name = CamelName(key);
    if (value.is_null() || name == "example") continue;
    if (name == "nullable") {
      nullable = value == true;
    } else if (name == "propertyOrdering") {
      order = std::move(value);
    } else {
      AddKeyword(name, std::move(value), out);
    }
  }
  if (order.is_array() && out.contains("properties"))
    out["properties"] = InOrder(std::move(out["properties"]), order);
  if (nullable && out.contains("type")) out["type"] = {out["type"], "null"};
  if (nullable && out.contains("enum")) out["enum"].push_back(nullptr);
  return out;
}

}  // namespace facet::serve
