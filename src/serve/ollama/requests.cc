// Fields and messages of /api/chat and /api/generate.
#include <algorithm>

#include "serve/conversation_builder.h"
#include "serve/ollama/ollama.h"

namespace facet::serve {
namespace {

// --- fields that both have

void ReadOllamaStops(JsonFields& fields, std::string_view name, OllamaRequest& out) {
  OrderedJson* value = fields.Any(name);
  if (value == nullptr) return;
  const OrderedJson stops = value->is_array() ? *value : OrderedJson::array({*value});
  for (const OrderedJson& stop : stops) {
    if (!stop.is_string()) return fields.FailType(name, "a list of strings", *value);
    if (!stop.get_ref<const std::string&>().empty())
      out.chat.common.stop.push_back(stop.get<std::string>());
  }
}

FieldTable<OllamaRequest> OllamaOptionFields() {
  FieldTable<OllamaRequest> t;
  t.Number("temperature", InCommon<OllamaRequest>(&Common::temperature), 0, 100,
           "Divides the logits; 0 always takes the likeliest token.");
  t.Integer("top_k", InCommon<OllamaRequest>(&Common::top_k), 0, INT32_MAX,
            "Samples among so many of the likeliest tokens; 0: among all.");
  t.Number("top_p", InCommon<OllamaRequest>(&Common::top_p), 0, 1,
           "Samples among the likeliest tokens that have this share of the probability together.");
  t.Number("min_p", InCommon<OllamaRequest>(&Common::min_p), 0, 1,
           "Drops tokens less likely than this share of the likeliest one.");
  t.Integer(
      "seed",
      [](OllamaRequest& out, int64_t seed) {
        if (seed >= 0) out.chat.common.seed = static_cast<uint64_t>(seed);
      },
      INT64_MIN, INT64_MAX,
      "The same request with the same seed gives the same answer. Negative: another one each "
      "time.");
  t.Integer(
      "num_predict",
      [](OllamaRequest& out, int64_t n) {
        if (n > 0) out.chat.common.max_tokens = static_cast<int>(std::min<int64_t>(n, INT32_MAX));
      },
      INT64_MIN, INT64_MAX,
      "Tokens of the answer at most; zero and less: what the context has left.");
  t.Custom("stop", "string or list of strings", "",
           "The answer ends before the first of them, which is not part of it.", ReadOllamaStops);
  t.Number(
      "repeat_penalty", InCommon<OllamaRequest>(&Common::repetition_penalty), 0.01, 100,
      "Divides positive and multiplies negative logits of tokens of the prompt and the answer.");
  t.Integer("repeat_last_n", &OllamaRequest::penalty_window, -1, INT32_MAX,
            "How far back the penalties look: -1, everywhere; 0, no `repeat_penalty`. Any other "
            "length only without a `repeat_penalty`.");
  t.Number("presence_penalty", InCommon<OllamaRequest>(&Common::presence_penalty), -2, 2,
           "Subtracted once from the logit of each token that the answer has already.");
  t.Number("frequency_penalty", InCommon<OllamaRequest>(&Common::frequency_penalty), -2, 2,
           "Subtracted for each time that the answer has the token.");
  t.Only("mirostat", 0, "Another way of sampling.");
  t.Only("tfs_z", 1, "Another way of sampling.");
  t.Only("typical_p", 1, "Another way of sampling.");
  t.Ignored({"num_ctx"}, "the context is as long as `--context` says for all requests");
  t.Ignored({"num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only",
             "use_mmap", "use_mlock", "embedding_only", "num_thread", "numa", "draft_num_predict"},
            "how another server runs a model");
  t.Ignored({"num_keep"}, "a conversation that is too long is refused, not cut");
  t.Ignored({"mirostat_tau", "mirostat_eta", "penalize_newline"},
            "settings of what is switched off");
  return t;
}

void ReadOllamaForm(JsonFields& fields, std::string_view name, OllamaRequest& out) {
  OrderedJson* format = fields.Any(name);
  if (format == nullptr) return;
  if (format->is_object()) {
    out.chat.common.format = {.kind = ResponseFormat::Kind::kJsonSchema,
                              .schema = std::move(*format),
                              .param = fields.Path(name)};
  } else if (*format == "json") {
    out.chat.common.format = {.kind = ResponseFormat::Kind::kJsonObject,
                              .param = fields.Path(name)};
  } else if (*format != "") {
    fields.FailType(name, "'json' or a schema", *format);
  }
}

void ReadOllamaThink(JsonFields& fields, std::string_view name, OllamaRequest& out) {
  const OrderedJson* think = fields.Any(name);
  if (think == nullptr) return;
  if (think->is_boolean()) {
    out.chat.thinking = think->get<bool>();
  } else if (const auto effort = fields.Choice(name, Efforts())) {
    ApplyEffort(out.chat, *effort);
  }
}

// A number of seconds, or a text such as "5m".
void ReadKeepAlive(JsonFields& fields, std::string_view name, OllamaRequest& out) {
  const OrderedJson* time = fields.Any(name);
  if (time == nullptr) return;
  if (!time->is_number() && !time->is_string())
    return fields.FailType(name, "a number of seconds or a duration", *time);
  const std::string text = time->is_string() ? time->get<std::string>() : time->dump();
  fields.IgnoreAndNote(name);
  out.unload =
      !text.empty() && text.find_first_not_of("0.smh") == text.npos && text.find('0') != text.npos;
}

FieldTable<OllamaRequest> SharedOllamaFields() {
  FieldTable<OllamaRequest> t;
  t.Text(
      "model",
      [](OllamaRequest& out, const std::string& name) {
        out.name = name;
        out.chat.common.model = name;
      },
      kMaxModelName,
      "One of the names of `/api/tags`, with or without `:latest`; without it, the first.");
  t.Flag(
      "stream", [](OllamaRequest& out, bool stream) { out.chat.common.stream = stream; },
      "False: one JSON object. Without it, an object a line.");
  t.Custom("format", "string or object", "`json`, or a JSON schema",
           "A form that the answer must have.", ReadOllamaForm);
  t.Custom("think", "boolean or string", ChoiceLimits(Efforts()),
           "Switches thinking on or off; `low` allows 1,024 tokens of thoughts, `medium` 8,192. "
           "Without it, the chat template decides.",
           ReadOllamaThink);
  t.Flag("logprobs", &OllamaRequest::logprobs, "Log-probabilities of the tokens of the answer.");
  t.Integer("top_logprobs", &OllamaRequest::given_top_logprobs, 0, kMaxTopLogprobs,
            "For each of them, so many of the likeliest tokens; needs `logprobs`.");
  t.Object("options", "Sampling and limits.", OllamaOptionFields());
  t.Custom("keep_alive", "number or string", "",
           "Models stay in memory until another one needs the room.", ReadKeepAlive);
  t.Ignored({"truncate", "shift"}, "a conversation that is too long is refused, not cut");
  return t;
}

FieldTable<OllamaRequest> MakeOllamaChatFields() {
  FieldTable<OllamaRequest> t = SharedOllamaFields();
  t.Custom("messages", "list of objects", Cat("at most ", kMaxMessages),
           "The conversation. Without a message, the model is loaded and nothing is said.",
           [](JsonFields& fields, std::string_view name, OllamaRequest& out) {
             if (OrderedJson* messages = fields.Array(name, kMaxMessages))
               out.given_messages = std::move(*messages);
           });
  t.Custom("tools", "list of objects", Cat("at most ", kMaxTools),
           "Functions that the model may call.",
           [](JsonFields& fields, std::string_view name, OllamaRequest& out) {
             ReadTools(fields, name, out.chat);
           });
  return t;
}

FieldTable<OllamaRequest> MakeOllamaTextFields() {
  FieldTable<OllamaRequest> t = SharedOllamaFields();
  t.Text("prompt", &OllamaRequest::prompt, SIZE_MAX,
         "What the model answers. Without it, the model is loaded and nothing is said.");
  t.Text("system", &OllamaRequest::system, SIZE_MAX, "A system message in front.");
  t.Custom("images", "list of strings", Cat("at most ", kMaxMedia), "Pictures as base64.",
           [](JsonFields& fields, std::string_view name, OllamaRequest& out) {
             if (OrderedJson* images = fields.Array(name, kMaxMedia))
               out.given_images = std::move(*images);
           });
  t.Flag("raw", &OllamaRequest::raw, "True: the prompt goes on as it is, without a template.");
  t.Only("suffix", "", "Nothing is inserted before an end.");
  t.Only("template", "", "The model's own template is used.");
  t.Refused({"context"}, "send the conversation to /api/chat");
  t.Refused({"width", "height", "steps"}, "this server writes text");
  return t;
}

// --- messages

class OllamaMessageReader {
 public:
  OllamaMessageReader(const MediaAccess& access, IgnoredFields* ignored)
      : to_(access), ignored_(ignored) {}

  Result<void> Read(OrderedJson& message, const std::string& path) {
    if (!message.is_object()) {
      return Error{Cat(path, ": expected an object but got ", ShowJson(message)),
                   ErrorKind::kInvalid, "invalid_type", path};
    }
    JsonFields fields(message, path, ignored_);
    fields.Require("role");
    const std::string role =
        fields.Choice("role", {"system", "user", "assistant", "tool"}).value_or("");
    std::string content = fields.MoveString("content", SIZE_MAX).value_or("");
    FACET_TRY(fields.status());
    if (role == "tool") return ReadResult(fields, std::move(content));
    to_.NewTurn(role);
    FACET_TRY(Images(fields, to_.parts()));
    to_.parts().Text(std::move(content));
    if (role == "assistant") FACET_TRY(ReadAssistant(fields));
    // What a client kept of an answer.
    fields.Ignore({"thinking", "tool_calls", "tool_name", "tool_call_id"});
    return fields.Done();
  }

  // A text with pictures, as /api/generate has it.
  Result<void> Text(OllamaRequest& request) {
    if (!request.system.empty()) {
      to_.NewTurn("system");
      to_.parts().Text(std::move(request.system));
    }
    to_.NewTurn("user");
    FACET_TRY(ReadImages(request.given_images, "images", to_.parts()));
    to_.parts().Text(std::move(request.prompt));
    return Ok();
  }

  Conversation Take() { return to_.Take(); }

 private:
  Result<void> Images(JsonFields& fields, PartList& parts) {
    OrderedJson* images = fields.Array("images", kMaxMedia);
    FACET_TRY(fields.status());
    return images == nullptr ? Ok() : ReadImages(*images, fields.Path("images"), parts);
  }

  Result<void> ReadImages(OrderedJson& images, const std::string& path, PartList& parts) {
    for (size_t i = 0; i < images.size(); ++i) {
      const std::string place = Cat(path, "[", i, "]");
      if (!images[i].is_string()) {
        return Error{Cat(place, ": expected base64 but got ", ShowJson(images[i])),
                     ErrorKind::kInvalid, "invalid_type", place};
      }
      MediumSource source{MediumSource::Kind::kBase64, std::move(images[i])};
      FACET_TRY(parts.Medium("image", std::move(source), to_.intake(), place));
    }
    return Ok();
  }

  Result<void> ReadAssistant(JsonFields& fields) {
    to_.Thoughts(fields.MoveString("thinking", SIZE_MAX).value_or(""));
    OrderedJson* calls = fields.Array("tool_calls", 1024);
    FACET_TRY(fields.status());
    for (size_t i = 0; calls != nullptr && i < calls->size(); ++i)
      FACET_TRY(ReadCall((*calls)[i], Cat(fields.Path("tool_calls"), "[", i, "]")));
    return Ok();
  }

  Result<void> ReadCall(OrderedJson& call, const std::string& path) {
    JsonFields fields(call, path, ignored_);
    if (!call.is_object()) {
      fields.FailType("", "an object", call);
      return fields.status();
    }
    const std::string id = fields.String("id", 1024).value_or(Cat("call_", ++calls_));
    fields.Ignore({"type"});
    fields.Require("function");
    OrderedJson* object = fields.Object("function");
    FACET_TRY(fields.Done());
    JsonFields function = fields.Inside("function", *object);
    function.Require("name");
    const std::string name = function.String("name", 256).value_or("");
    OrderedJson* arguments = function.Any("arguments");
    function.Ignore({"index", "description"});
    FACET_TRY(function.Done());
    OrderedJson given = OrderedJson::object();
    if (arguments != nullptr && arguments->is_string()) {
      given = CallArguments(arguments->get_ref<const std::string&>());
    } else if (arguments != nullptr && arguments->is_object()) {
      given = std::move(*arguments);
    } else if (arguments != nullptr) {
      function.FailType("arguments", "an object", *arguments);
      return function.status();
    }
    to_.Call(id, name, std::move(given));
    return Ok();
  }

  Result<void> ReadResult(JsonFields& fields, std::string content) {
    std::string name = fields.String("tool_name", 256).value_or("");
    const auto other_name = fields.String("name", 256);
    if (name.empty() && other_name) name = *other_name;
    const auto id = fields.String("tool_call_id", 1024);
    PartList parts;
    parts.Text(std::move(content));
    FACET_TRY(Images(fields, parts));
    fields.Ignore({"thinking", "tool_calls"});
    FACET_TRY(fields.Done());
    to_.NewTurn("tool");  // ends the turn with the calls
    to_.ToolResult(id ? *id : to_.OpenCall(name), name, parts.Take());
    return Ok();
  }

  ConversationBuilder to_;
  IgnoredFields* const ignored_;
  int calls_ = 0;
};

// What depends on several fields.
Result<void> CheckOllama(OllamaRequest& request, const ModelPool& models) {
  Common& common = request.chat.common;
  const auto window = request.penalty_window;
  if (window == 0) common.repetition_penalty = 1;
  if (window && *window > 0 && common.repetition_penalty.value_or(1) != 1) {
    return Error{"options.repeat_last_n: expected -1 or 0: the penalty looks at everything",
                 ErrorKind::kUnsupported, "unsupported", "options.repeat_last_n"};
  }
  if (request.given_top_logprobs && !request.logprobs) {
    return Error{"top_logprobs: logprobs must be true as well", ErrorKind::kInvalid,
                 "invalid_value", "top_logprobs"};
  }
  if (request.logprobs) common.top_logprobs = request.given_top_logprobs.value_or(0);
  common.model = ServedName(models, common.model, "");
  if (request.name.empty()) request.name = models.default_id();
  return Ok();
}

}  // namespace

const FieldTable<OllamaRequest>& OllamaChatFields() {
  static const FieldTable<OllamaRequest> table = MakeOllamaChatFields();
  return table;
}

const FieldTable<OllamaRequest>& OllamaGenerateFields() {
  static const FieldTable<OllamaRequest> table = MakeOllamaTextFields();
  return table;
}

Result<OllamaRequest> ReadOllamaChat(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, IgnoredFields* ignored) {
  OllamaRequest request;
  request.chat.common.stream = true;
  FACET_TRY(OllamaChatFields().ReadAll(body, request, ignored));
  FACET_TRY(CheckOllama(request, models));
  OllamaMessageReader reader(access, ignored);
  for (size_t i = 0; i < request.given_messages.size(); ++i)
    FACET_TRY(reader.Read(request.given_messages[i], Cat("messages[", i, "]")));
  request.chat.conversation = reader.Take();
  return request;
}

Result<OllamaRequest> ReadOllamaText(OrderedJson body, const ModelPool& models,
                                     const MediaAccess& access, IgnoredFields* ignored) {
  OllamaRequest request;
  request.texts = true;
  request.chat.common.stream = true;
  FACET_TRY(OllamaGenerateFields().ReadAll(body, request, ignored));
  FACET_TRY(CheckOllama(request, models));
  const bool pictures = request.given_images.is_array() && !request.given_images.empty();
  if (request.raw) {
    const char* field = pictures                                                         ? "images"
                        : !request.system.empty()                                        ? "system"
                        : request.chat.common.format.kind != ResponseFormat::Kind::kText ? "format"
                                                                                         : nullptr;
    if (field == nullptr) return request;
    return Error{Cat(field, ": a raw prompt is continued as it is"), ErrorKind::kUnsupported,
                 "unsupported", field};
  }
  if (request.prompt.empty() && !pictures) return request;
  OllamaMessageReader reader(access, ignored);
  FACET_TRY(reader.Text(request));
  request.chat.conversation = reader.Take();
  return request;
}

}  // namespace facet::serve
