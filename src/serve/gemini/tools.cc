// Functions that the model may call, and what a hosted service would run itself.
#include <algorithm>
#include <array>
#include <set>

#include "serve/gemini/gemini.h"

namespace facet::serve {
namespace {

// Run by Google's service and by nobody else.
constexpr std::array<const char*, 11> kGoogleTools = {
    "googleSearch",        "googleSearchRetrieval",
    "enterpriseWebSearch", "parallelAiSearch",
    "exaAiSearch",         "googleMaps",
    "urlContext",          "codeExecution",
    "fileSearch",          "retrieval",
    "mcpServers"};

Result<OrderedJson> ReadDeclaration(OrderedJson& declaration, const std::string& path,
                                    IgnoredFields* ignored) {
  JsonFields fields(declaration, path, ignored);
  if (!declaration.is_object()) {
    fields.FailType("", "an object", declaration);
    return fields.status().error();
  }
  fields.Require("name");
  const std::string name = fields.String("name", 256).value_or("");
  if (fields.ok() && !IsToolName(name)) {
    fields.Fail("name",
                Cat("expected letters, digits, _ - . : / but got ", ShowJson(OrderedJson(name))));
  }
  const std::string description = fields.String("description", 1 << 20).value_or("");
  OrderedJson* own = fields.Object("parameters");
  OrderedJson* standard = fields.Object("parametersJsonSchema");
  fields.Ignore({"response", "responseJsonSchema", "behavior"});
  FACET_TRY(fields.Done());
  OrderedJson parameters = {{"type", "object"}, {"properties", OrderedJson::object()}};
  if (standard != nullptr) {
    parameters = std::move(*standard);
  } else if (own != nullptr) {
    parameters = JsonSchema(std::move(*own));
  }
  return OrderedJson{
      {"type", "function"},
      {"function",
       {{"name", name}, {"description", description}, {"parameters", std::move(parameters)}}}};
}

Result<OrderedJson> ReadDeclarations(OrderedJson& tools, IgnoredFields* ignored) {
  OrderedJson read = OrderedJson::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = Cat("tools[", i, "]");
    JsonFields fields(tools[i], path, ignored);
    if (!tools[i].is_object()) {
      fields.FailType("", "an object", tools[i]);
      return fields.status().error();
    }
    for (const char* name : kGoogleTools) fields.IgnoreAndNote(name);
    if (fields.Any("computerUse") != nullptr) {
      fields.Fail("computerUse", "nobody here has told the model how to use a computer",
                  "unsupported", ErrorKind::kUnsupported);
    }
    OrderedJson* declarations = fields.Array("functionDeclarations", kMaxTools);
    FACET_TRY(fields.Done());
    for (size_t k = 0; declarations != nullptr && k < declarations->size(); ++k) {
      FACET_ASSIGN(OrderedJson tool,
                   ReadDeclaration((*declarations)[k], Cat(path, ".functionDeclarations[", k, "]"),
                                   ignored));
      read.push_back(std::move(tool));
    }
  }
  return read.empty() ? OrderedJson(nullptr) : std::move(read);
}

// Only the functions with these names are offered.
Result<void> KeepFunctions(OrderedJson& tools, const OrderedJson& names, const std::string& path) {
  std::set<std::string> wanted;
  for (const OrderedJson& name : names) {
    if (name.is_string()) wanted.insert(name.get<std::string>());
  }
  OrderedJson kept = OrderedJson::array();
  for (const OrderedJson& tool : tools) {
    if (wanted.erase(tool["function"]["name"].get<std::string>()) > 0) kept.push_back(tool);
  }
  if (!wanted.empty()) {
    return Error{Cat(path, ": there is no function named ", ShowJson(OrderedJson(*wanted.begin()))),
                 ErrorKind::kInvalid, "invalid_value", path};
  }
  tools = std::move(kept);
  return Ok();
}

Result<void> ReadCallingConfig(GeminiRequest& request, IgnoredFields* ignored) {
  JsonFields config(request.given_tool_config, "toolConfig", ignored);
  config.Ignore({"retrievalConfig", "includeServerSideToolInvocations"});
  OrderedJson* object = config.Object("functionCallingConfig");
  FACET_TRY(config.Done());
  if (object == nullptr) return Ok();
  JsonFields calling = config.Inside("functionCallingConfig", *object);
  const std::string mode =
      calling.Choice("mode", {"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"})
          .value_or("AUTO");
  const OrderedJson* names = calling.Array("allowedFunctionNames", kMaxTools);
  calling.Ignore({"streamFunctionCallArguments"});
  FACET_TRY(calling.Done());
  ChatRequest& chat = request.chat;
  if (mode == "NONE") chat.given_choice = "none";
  if (mode == "ANY") chat.given_choice = "required";
  if (names != nullptr && !names->empty() && chat.tools.is_array())
    FACET_TRY(KeepFunctions(chat.tools, *names, calling.Path("allowedFunctionNames")));
  if (mode == "VALIDATED" && chat.tools.is_array()) {
    for (OrderedJson& tool : chat.tools) tool["function"]["strict"] = true;
  }
  return Ok();
}

}  // namespace

Result<void> ReadGeminiTools(GeminiRequest& request, IgnoredFields* ignored) {
  if (request.given_tools.is_array()) {
    FACET_ASSIGN(request.chat.tools, ReadDeclarations(request.given_tools, ignored));
  }
  if (!request.given_tool_config.is_null()) FACET_TRY(ReadCallingConfig(request, ignored));
  return CheckDialogue(request.chat, ignored);
}

}  // namespace facet::serve
