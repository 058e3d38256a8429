#include "serve/openai/requests.h"

#include <algorithm>
#include <charconv>
#include <random>

namespace facet::serve {

Result<OrderedJson> ParseBody(std::string_view body) {
  constexpr JsonLimits kLimits = {.max_depth = kMaxRequestJsonDepth,
                                  .duplicates = DuplicateKeys::kLastWins};
  FACET_ASSIGN(OrderedJson parsed, ParseJson(body, kLimits));
  if (!parsed.is_object())
    return Error{"expected a JSON object", ErrorKind::kInvalid, "invalid_json"};
  return parsed;
}

namespace {

// --- fields that every generating route has

void ReadStop(JsonFields& fields, std::string_view name, Common& out) {
  OrderedJson* stop = fields.Any(name);
  if (stop == nullptr) return;
  const OrderedJson list = stop->is_array() ? std::move(*stop) : OrderedJson::array({*stop});
  if (list.size() > size_t{kMaxStops}) {
    return fields.Fail(name, Cat("expected at most ", kMaxStops, " strings but got ", list.size()));
  }
  for (const OrderedJson& item : list) {
    if (!item.is_string())
      return fields.Fail(name, Cat("expected strings but got ", ShowJson(item)), "invalid_type");
    const auto& text = item.get_ref<const std::string&>();
    if (text.empty() || text.size() > 256)
      return fields.Fail(name, "expected strings of 1 to 256 bytes");
    out.stop.push_back(text);
  }
}

void ReadBias(JsonFields& fields, std::string_view name, Common& out) {
  const OrderedJson* bias = fields.Object(name);
  if (bias == nullptr) return;
  if (bias->size() > kMaxBiases)
    return fields.Fail(name, Cat("expected at most ", kMaxBiases, " tokens"));
  for (const auto& [key, value] : bias->items()) {
    int id = 0;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (code != std::errc() || end != key.data() + key.size() || id < 0) {
      return fields.Fail(name,
                         Cat("expected token ids as names but got '", key.substr(0, 40), "'"));
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      return fields.Fail(name, Cat("expected numbers from -100 to 100 but got ", ShowJson(value)));
    }
    out.bias[id] = value.get<float>();
  }
}

FieldTable<Common> StreamOptions() {
  FieldTable<Common> t;
  t.Flag("include_usage", &Common::include_usage,
         "A last event with the usage of the whole request.");
  // Either this or return_progress asks for it.
  t.Flag(
      "include_progress", [](Common& out, bool value) { out.progress |= value; },
      "As `return_progress`.");
  t.Ignored({"include_obfuscation"}, "events carry no padding");
  return t;
}

FieldTable<Common> MakeCommonFields() {
  FieldTable<Common> t;
  t.Text("model", &Common::model, kMaxModelName,
         "One of the names of `/v1/models`; without it, the first.");
  t.Number("temperature", &Common::temperature, 0, 100,
           "Divides the logits; 0 always takes the likeliest token. Without it, as all of "
           "sampling: what the checkpoint recommends.");
  t.Number("top_p", &Common::top_p, 0, 1,
           "Samples among the likeliest tokens that have this share "
           "of the probability together.");
  t.Number("min_p", &Common::min_p, 0, 1,
           "Drops tokens less likely than this share of the likeliest one.");
  t.Integer(
      "top_k",
      [](Common& out, int64_t k) { out.top_k = static_cast<int>(std::max<int64_t>(0, k)); }, -1,
      INT32_MAX, "Samples among so many of the likeliest tokens; 0 or -1: among all.");
  t.Number("presence_penalty", &Common::presence_penalty, -2, 2,
           "Subtracted once from the logit of each token that the answer has already.");
  t.Number("frequency_penalty", &Common::frequency_penalty, -2, 2,
           "Subtracted for each time that the answer has the token.");
  t.Number(
       "repetition_penalty", &Common::repetition_penalty, 0.01, 100,
       "Divides positive and multiplies negative logits of tokens of the prompt and the answer.")
      .Or("repeat_penalty");
  t.Integer(
      "seed", [](Common& out, int64_t seed) { out.seed = static_cast<uint64_t>(seed); }, INT64_MIN,
      INT64_MAX,
      "The same request with the same seed gives the same answer. Without it: another "
      "one each time. Choice number i of a request uses seed + i.");
  t.Flag("stream", &Common::stream, "Server-sent events instead of one JSON object.");
  t.Flag("cache_prompt", &Common::use_cache,
         "False: neither uses the prefix cache nor leaves anything in it. True by default.");
  t.Flag("return_progress", &Common::progress,
         "Comments of an idle stream say how much of the prompt has been read.");
  t.Text("cache_salt", &Common::salt, 1024,
         "Requests share cached prefixes only with those of the same API key and salt.");
  t.Custom("stop", "string or list of strings",
           Cat("at most ", kMaxStops, ", of 1 to 256 bytes each"),
           "The answer ends before the first of them, which is not part of it.", ReadStop);
  t.Custom("logit_bias", "object", Cat("at most ", kMaxBiases, " tokens, -100 to 100 each"),
           "Added to the logits of tokens, by id; -100 bans a token.", ReadBias);
  t.Object("stream_options", "What a stream holds beside the answer.", StreamOptions());
  t.Ignored({"user", "safety_identifier"}, "who the end user is; nothing is kept by user");
  t.Ignored({"metadata"}, "notes for a hosted service's records");
  t.Ignored({"service_tier", "prompt_cache_key", "prompt_cache_retention"},
            "billing and caching of hosted services; prefixes are cached by content here");
  t.Ignored({"prediction"}, "a hint for speed; drafting needs none and changes no answer");
  t.Ignored({"timings_per_token"}, "answers carry their timings anyway");
  return t;
}

bool AllIds(const OrderedJson& list) {
  return std::all_of(list.begin(), list.end(),
                     [](const OrderedJson& id) { return id.is_number_integer(); });
}

std::optional<std::vector<TokenId>> ReadIds(const OrderedJson& list) {
  std::vector<TokenId> ids;
  for (const OrderedJson& id : list) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > INT32_MAX)
      return std::nullopt;
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

}  // namespace

const FieldTable<Common>& CommonFields() {
  static const FieldTable<Common> table = MakeCommonFields();
  return table;
}

FieldTable<Common> ChoiceFields() {
  FieldTable<Common> t;
  t.Integer("n", &Common::choices, 1, kMaxChoices, "Answers to the same prompt.");
  t.Integer("max_tokens", &Common::max_tokens, 1, INT64_MAX,
            "Tokens of the answer at most, thoughts included. Without it: what the context has "
            "left, and 16 for completions.")
      .Or("max_completion_tokens");
  return t;
}

void ReadTexts(JsonFields& fields, std::string_view name, size_t limit,
               std::vector<TextOrIds>& out) {
  OrderedJson* value = fields.Any(name);
  if (value == nullptr) return;
  const auto fail = [&] {
    fields.Fail(name,
                Cat("expected a string, a list of strings, token ids, or lists of them but got ",
                    ShowJson(*value)),
                "invalid_type");
  };
  if (value->is_string()) return void(out.emplace_back(value->get<std::string>()));
  if (!value->is_array() || value->empty()) return fail();
  if (AllIds(*value)) {
    auto ids = ReadIds(*value);
    if (!ids) return fail();
    return void(out.emplace_back(*std::move(ids)));
  }
  if (value->size() > limit)
    return fields.Fail(name, Cat("expected at most ", limit, " texts"), "array_too_long");
  for (const OrderedJson& item : *value) {
    if (item.is_string()) {
      out.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty() && AllIds(item)) {
      auto ids = ReadIds(item);
      if (!ids) return fail();
      out.emplace_back(*std::move(ids));
    } else {
      return fail();
    }
  }
}

SamplingParams Sampling(const LoadedModel& model, const Common& common) {
  SamplingParams params = model.sampling;
  const auto set = [](auto& to, const auto& given) {
    if (given) to = static_cast<std::decay_t<decltype(to)>>(*given);
  };
  set(params.temperature, common.temperature);
  set(params.top_p, common.top_p);
  set(params.min_p, common.min_p);
  set(params.top_k, common.top_k);
  set(params.presence_penalty, common.presence_penalty);
  set(params.frequency_penalty, common.frequency_penalty);
  set(params.repetition_penalty, common.repetition_penalty);
  params.logit_bias = common.bias;
  std::random_device random;
  params.seed = common.seed ? *common.seed : random() | static_cast<uint64_t>(random()) << 32;
  return params;
}

}  // namespace facet::serve
