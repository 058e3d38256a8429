#include "serve/openai/requests.h"

#include <algorithm>
#include <charconv>
#include <random>

namespace facet::serve {
namespace {

// Without effect on the answer: identification, billing, storage and hints of hosted services.
constexpr auto kHarmless = {"user",
                            "store",
                            "metadata",
                            "service_tier",
                            "prompt_cache_key",
                            "prompt_cache_retention",
                            "safety_identifier",
                            "prediction",
                            "timings_per_token"};

void ReadStop(Fields& fields, const ApiLimits& limits, Common& out) {
  const Json* stop = fields.Any("stop");
  if (stop == nullptr) return;
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > static_cast<size_t>(limits.max_stops)) {
    return fields.Fail(
        "stop", Cat("expected at most ", limits.max_stops, " strings but got ", list.size()));
  }
  for (const Json& item : list) {
    if (!item.is_string())
      return fields.Fail("stop", Cat("expected strings but got ", Show(item)), "invalid_type");
    const auto& text = item.get_ref<const std::string&>();
    if (text.empty() || text.size() > 256)
      return fields.Fail("stop", "expected strings of 1 to 256 bytes");
    out.stop.push_back(text);
  }
}

void ReadBias(Fields& fields, Common& out) {
  const Json* bias = fields.Object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > 4096) return fields.Fail("logit_bias", "expected at most 4096 tokens");
  for (const auto& [key, value] : bias->items()) {
    int id = 0;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (code != std::errc() || end != key.data() + key.size() || id < 0) {
      return fields.Fail("logit_bias",
                         Cat("expected token ids as names but got '", key.substr(0, 40), "'"));
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      return fields.Fail("logit_bias",
                         Cat("expected numbers from -100 to 100 but got ", Show(value)));
    }
    out.bias[id] = value.get<float>();
  }
}

void ReadStreamOptions(Fields& fields, Common& out) {
  const Json* options = fields.Object("stream_options");
  if (options == nullptr) return;
  Fields inner(*options, "stream_options");
  out.include_usage = inner.Bool("include_usage").value_or(false);
  out.progress |= inner.Bool("include_progress").value_or(false);
  inner.Ignore({"include_obfuscation"});
  inner.Done();
  fields.Adopt(inner);
}

}  // namespace

// --- tools

namespace {

// A name that can stand in the tool notation and in the API.
bool IsToolName(const std::string& name) {
  return !name.empty() && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '-' || c == '.' || c == ':' || c == '/';
         });
}

std::optional<ApiError> ReadTool(const Json& tool, const std::string& path, Json& tools) {
  if (!tool.is_object())
    return ApiError{400, Cat(path, ": expected an object"), "invalid_type", path};
  Fields fields(tool, path);
  fields.Require("type");
  if (fields.Any("type") != nullptr && tool["type"] != "function") {
    fields.Fail("type", Cat("expected 'function' but got ", Show(tool["type"])), "unsupported");
  }
  const Json* function = fields.Object("function");
  const bool flat = function == nullptr;
  if (fields.error()) return fields.error();
  Fields f(flat ? tool : *function, flat ? path : path + ".function");
  f.Require("name");
  const std::string name = f.String("name", 256).value_or("");
  if (f.ok() && !IsToolName(name))
    f.Fail("name", Cat("expected letters, digits, _ - . : / but got ", Show(name)));
  const std::string description = f.String("description", 1 << 20).value_or("");
  const Json* parameters = f.Object("parameters");
  const bool strict = f.Bool("strict").value_or(false);
  f.Ignore({"type", "cache_control", "response", "defer_loading"});
  f.Done();
  fields.Ignore({"cache_control", "strict"});
  if (f.error()) return f.error();
  if (!flat) {
    fields.Done();
    if (fields.error()) return fields.error();
  }
  Json out = {{"type", "function"}, {"function", {{"name", name}, {"description", description}}}};
  out["function"]["parameters"] = parameters != nullptr
                                      ? *parameters
                                      : Json{{"type", "object"}, {"properties", Json::object()}};
  if (strict) out["function"]["strict"] = true;
  tools.push_back(std::move(out));
  return std::nullopt;
}

void ReadToolChoice(Fields& fields, ChatRequest& out) {
  const Json* choice = fields.Any("tool_choice");
  if (choice == nullptr) return;
  using Kind = ToolChoice::Kind;
  if (choice->is_string()) {
    static const std::map<std::string, Kind> kKinds = {{"auto", Kind::kAuto},
                                                       {"none", Kind::kNone},
                                                       {"required", Kind::kRequired},
                                                       {"any", Kind::kRequired}};
    const auto kind = kKinds.find(choice->get<std::string>());
    if (kind == kKinds.end()) {
      return fields.Fail("tool_choice", Cat("expected none, auto, required or a function but got ",
                                            Show(*choice)));
    }
    out.tool_choice.kind = kind->second;
  } else if (choice->is_object() && choice->value("type", Json()) == "function") {
    const Json& holder = choice->contains("function") ? (*choice)["function"] : *choice;
    if (!holder.is_object() || !holder.contains("name") || !holder["name"].is_string()) {
      return fields.Fail("tool_choice", "expected the function's name",
                         "missing_required_parameter");
    }
    out.tool_choice = {Kind::kNamed, holder["name"].get<std::string>()};
  } else {
    return fields.Fail("tool_choice",
                       Cat("expected none, auto, required or a function but got ", Show(*choice)));
  }
  const bool any = out.tools.is_array() && !out.tools.empty();
  if (!any && out.tool_choice.kind != Kind::kAuto && out.tool_choice.kind != Kind::kNone) {
    return fields.Fail("tool_choice", "there are no tools to choose from");
  }
  if (out.tool_choice.kind != Kind::kNamed) return;
  for (const Json& tool : out.tools) {
    if (tool["function"]["name"] == out.tool_choice.name) return;
  }
  fields.Fail("tool_choice", Cat("there is no tool named ", Show(out.tool_choice.name)));
}

}  // namespace

std::optional<ApiError> ReadTools(Fields& fields, const ApiLimits& limits, ChatRequest& out) {
  if (const Json* tools = fields.Array("tools", limits.max_tools);
      tools != nullptr && !tools->empty()) {
    out.tools = Json::array();
    for (size_t i = 0; i < tools->size(); ++i) {
      if (auto error = ReadTool((*tools)[i], Cat("tools[", i, "]"), out.tools)) return error;
    }
  }
  ReadToolChoice(fields, out);
  out.parallel_calls = fields.Bool("parallel_tool_calls").value_or(true);
  return fields.error();
}

// --- thinking

void ApplyEffort(const std::string& effort, ChatRequest& out) {
  if (effort == "none" || effort == "minimal") {
    out.thinking = false;
    return;
  }
  out.thinking = true;
  if (effort == "low") out.thinking_budget = 1024;
  if (effort == "medium") out.thinking_budget = 8192;
}

void ReadThinking(Fields& fields, ChatRequest& out) {
  static const std::initializer_list<std::string_view> kEfforts = {
      "none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (const auto effort = fields.Choice("reasoning_effort", kEfforts)) ApplyEffort(*effort, out);
  if (const Json* reasoning = fields.Object("reasoning")) {
    Fields inner(*reasoning, "reasoning");
    if (const auto effort = inner.Choice("effort", kEfforts)) ApplyEffort(*effort, out);
    if (const auto budget = inner.Int("max_tokens", 0, INT32_MAX)) {
      out.thinking = *budget > 0;
      out.thinking_budget = static_cast<int>(*budget);
    }
    if (const auto enabled = inner.Bool("enabled")) out.thinking = *enabled;
    inner.Ignore({"summary", "generate_summary", "exclude"});
    inner.Done();
    fields.Adopt(inner);
  }
  if (const Json* extra = fields.Object("chat_template_kwargs")) {
    out.template_extra = *extra;
    if (extra->contains("enable_thinking")) {
      if (!(*extra)["enable_thinking"].is_boolean()) {
        return fields.Fail("chat_template_kwargs.enable_thinking", "expected true or false",
                           "invalid_type");
      }
      out.thinking = (*extra)["enable_thinking"].get<bool>();
      out.template_extra.erase("enable_thinking");
    }
    for (const char* name :
         {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
      if (extra->contains(name))
        return fields.Fail(Cat("chat_template_kwargs.", name),
                           "this is not an option of the template");
    }
  }
  if (const auto enabled = fields.Bool("enable_thinking")) out.thinking = *enabled;
  if (const auto budget = fields.Int("thinking_budget", -1, INT32_MAX)) {
    if (*budget == 0) {
      out.thinking = false;
    } else {
      out.thinking = out.thinking.value_or(true);
      out.thinking_budget = *budget < 0 ? std::nullopt : std::optional(static_cast<int>(*budget));
    }
  }
}

// --- whole requests

void ReadCommon(Fields& fields, const ApiLimits& limits, Common& out) {
  out.model = fields.String("model", 1024);
  out.set.temperature = fields.Number("temperature", 0, 100);
  out.set.top_p = fields.Number("top_p", 0, 1);
  out.set.min_p = fields.Number("min_p", 0, 1);
  if (const auto k = fields.Int("top_k", -1, INT32_MAX))
    out.set.top_k = std::max(0, static_cast<int>(*k));
  out.set.presence = fields.Number("presence_penalty", -2, 2);
  out.set.frequency = fields.Number("frequency_penalty", -2, 2);
  out.set.repetition = fields.Number("repetition_penalty", 0.01, 100);
  if (const auto other = fields.Number("repeat_penalty", 0.01, 100)) out.set.repetition = other;
  if (const auto seed = fields.Int("seed", INT64_MIN, INT64_MAX))
    out.set.seed = static_cast<uint64_t>(*seed);
  out.choices = static_cast<int>(fields.Int("n", 1, limits.max_choices).value_or(1));
  out.stream = fields.Bool("stream").value_or(false);
  out.use_cache = fields.Bool("cache_prompt").value_or(true);
  out.progress = fields.Bool("return_progress").value_or(false);
  out.salt = fields.String("cache_salt", 1024).value_or("");
  ReadStop(fields, limits, out);
  ReadBias(fields, out);
  ReadStreamOptions(fields, out);
  for (const char* name : kHarmless) fields.Ignore({name});
}

namespace {

void ReadSchema(Fields& fields, bool required, ChatRequest& out) {
  fields.String("name", 256);
  fields.String("description", 1 << 16);
  fields.Bool("strict");  // a schema is always enforced
  if (required) fields.Require("schema");
  const Json* schema = fields.Object("schema");
  if (schema != nullptr) out.format = {ResponseFormat::Kind::kJsonSchema, *schema};
}

}  // namespace

void OnlyValue(Fields& fields, const char* name, const Json& value) {
  const Json* got = fields.Any(name);
  if (got != nullptr && *got != value) {
    fields.Fail(name, Cat("expected ", Show(value), ": anything else is not supported"),
                "unsupported");
  }
}

void RestoreOrder(const std::string& body, ChatRequest& out) {
  if (out.format.kind != ResponseFormat::Kind::kJsonSchema) return;
  const auto ordered = OrderedJson::parse(body, nullptr, false);
  for (const char* path : {"/response_format/json_schema/schema", "/response_format/schema",
                           "/text/format/schema", "/text/format/json_schema/schema"}) {
    const OrderedJson::json_pointer pointer(path);
    if (ordered.contains(pointer) && ordered[pointer].is_object()) {
      out.format.schema = ordered[pointer];
      return;
    }
  }
}

void ReadFormat(const Json& format, Fields& fields, const char* name, ChatRequest& out) {
  Fields inner(format, fields.Path(name));
  inner.Require("type");
  const auto type = inner.Choice("type", {"text", "json_object", "json_schema"});
  const Json* nested = inner.Object("json_schema");
  if (nested == nullptr) {
    ReadSchema(inner, type == "json_schema", out);
  } else {
    Fields named(*nested, inner.Path("json_schema"));
    ReadSchema(named, true, out);
    named.Done();
    inner.Adopt(named);
  }
  inner.Done();
  if (!inner.ok()) return fields.Adopt(inner);
  if (*type == "text") out.format = {};
  if (*type == "json_object" && out.format.kind == ResponseFormat::Kind::kText)
    out.format.kind = ResponseFormat::Kind::kJsonObject;
}

namespace {

void ReadMaxTokens(Fields& fields, Common& out) {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (const auto n = fields.Int(name, 1, INT64_MAX))
      out.max_tokens = static_cast<int>(std::min<int64_t>(*n, INT32_MAX));
  }
}

}  // namespace

std::optional<ApiError> ReadChat(const Json& body, const ApiLimits& limits, ChatRequest& out) {
  Fields fields(body, "");
  ReadCommon(fields, limits, out.common);
  ReadMaxTokens(fields, out.common);
  const bool logprobs = fields.Bool("logprobs").value_or(false);
  const auto top = fields.Int("top_logprobs", 0, 20);
  if (top && !logprobs) fields.Fail("top_logprobs", "logprobs must be true as well");
  if (logprobs) out.common.top_logprobs = static_cast<int>(top.value_or(0));
  ReadThinking(fields, out);
  if (const Json* format = fields.Object("response_format"))
    ReadFormat(*format, fields, "response_format", out);
  OnlyValue(fields, "modalities", Json::array({"text"}));
  if (fields.ok()) {
    if (auto error = ReadTools(fields, limits, out)) return error;
  }
  fields.Require("messages");
  const Json* messages = fields.Array("messages", limits.max_messages);
  if (messages != nullptr && messages->empty())
    fields.Fail("messages", "expected at least one message");
  fields.Done();
  if (fields.error()) return fields.error();
  return ReadMessages(*messages, "messages", limits, out.conversation);
}

namespace {

bool AllIds(const Json& list) {
  return std::all_of(list.begin(), list.end(),
                     [](const Json& id) { return id.is_number_integer(); });
}

std::optional<std::vector<TokenId>> ReadIds(const Json& list) {
  std::vector<TokenId> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > INT32_MAX)
      return std::nullopt;
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

}  // namespace

void ReadTexts(Fields& fields, const char* name, size_t limit, std::vector<TextOrIds>& out) {
  fields.Require(name);
  const Json* value = fields.Any(name);
  if (value == nullptr) return;
  const auto fail = [&] {
    fields.Fail(name,
                Cat("expected a string, a list of strings, token ids, or lists of them but got ",
                    Show(*value)),
                "invalid_type");
  };
  if (value->is_string()) {
    out.emplace_back(value->get<std::string>());
    return;
  }
  if (!value->is_array() || value->empty()) return fail();
  const bool one = AllIds(*value);
  if (!one && value->size() > limit)
    return fields.Fail(name, Cat("expected at most ", limit, " texts"), "array_too_long");
  const Json list = one ? Json::array({*value}) : *value;
  for (const Json& item : list) {
    if (item.is_string()) {
      out.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty() && AllIds(item)) {
      auto ids = ReadIds(item);
      if (!ids) return fail();
      out.emplace_back(std::move(*ids));
    } else {
      return fail();
    }
  }
}

std::optional<ApiError> ReadCompletion(const Json& body, const ApiLimits& limits,
                                       CompletionRequest& out) {
  Fields fields(body, "");
  ReadCommon(fields, limits, out.common);
  ReadMaxTokens(fields, out.common);
  if (!out.common.max_tokens) out.common.max_tokens = 16;  // the API's default
  if (const auto top = fields.Int("logprobs", 0, 20))
    out.common.top_logprobs = static_cast<int>(*top);
  OnlyValue(fields, "echo", false);
  OnlyValue(fields, "suffix", "");
  OnlyValue(fields, "best_of", out.common.choices);
  ReadTexts(fields, "prompt", 64, out.prompts);
  fields.Done();
  return fields.error();
}

SamplingParams Sampling(const LoadedModel& model, const Common& common) {
  SamplingParams params = model.sampling;
  const auto& set = common.set;
  if (set.temperature) params.temperature = *set.temperature;
  if (set.top_p) params.top_p = *set.top_p;
  if (set.min_p) params.min_p = *set.min_p;
  if (set.top_k) params.top_k = *set.top_k;
  if (set.presence) params.presence_penalty = *set.presence;
  if (set.frequency) params.frequency_penalty = *set.frequency;
  if (set.repetition) params.repetition_penalty = *set.repetition;
  params.logit_bias = common.bias;
  params.seed = set.seed
                    ? *set.seed
                    : std::random_device()() | static_cast<uint64_t>(std::random_device()()) << 32;
  return params;
}

}  // namespace facet::serve
