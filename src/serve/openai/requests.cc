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

constexpr size_t kMaxStop = 4096;             // bytes of a stop string
constexpr size_t kMaxGivenGrammar = 1 << 20;  // bytes of a grammar or a regular expression
constexpr size_t kMaxChoiceTexts = 4096;

// --- fields that every generating route has

void ReadStop(JsonFields& fields, std::string_view name, Common& out) {
  OrderedJson* stop = fields.Any(name);
  if (stop == nullptr) return;
  const OrderedJson list = stop->is_array() ? std::move(*stop) : OrderedJson::array({*stop});
  out.stop.clear();
  for (const OrderedJson& item : list) {
    if (item.is_null()) continue;
    if (!item.is_string())
      return fields.Fail(name, Cat("expected strings but got ", ShowJson(item)), "invalid_type");
    const auto& text = item.get_ref<const std::string&>();
    if (text.size() > kMaxStop)
      return fields.Fail(name, Cat("expected strings of at most ", kMaxStop, " bytes"));
    // An empty string, which forms leave behind, occurs nowhere.
    if (!text.empty()) out.stop.push_back(text);
  }
}

void ReadStopTokens(JsonFields& fields, std::string_view name, Common& out) {
  const OrderedJson* ids = fields.Array(name, kMaxBiases);
  if (ids == nullptr) return;
  for (const OrderedJson& id : *ids) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > INT32_MAX)
      return fields.Fail(name, Cat("expected token ids but got ", ShowJson(id)), "invalid_type");
    out.stop_tokens.push_back(id.get<int>());
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
  t.Flag("continuous_usage_stats", &Common::running_usage, "Every event has the usage so far.");
  t.Ignored({"include_obfuscation"}, "events carry no padding");
  return t;
}

void SetSeed(Common& out, int64_t seed) {
  out.seed = seed == -1 ? std::nullopt : std::optional(static_cast<uint64_t>(seed));
}

void SetTopK(Common& out, int64_t k) {
  out.top_k = static_cast<int>(std::max<int64_t>(0, k));
}

// What other servers sample with beside the above: only where it is switched off.
void AddForeignSampling(FieldTable<Common>& t) {
  constexpr const char* kOff = "another way of sampling; only switched off";
  t.OnlyOneOf({"typical_p", "typical", "tfs_z", "tfs", "guidance_scale",
               "encoder_repetition_penalty", "length_penalty"},
              {1}, kOff);
  t.OnlyOneOf({"top_a", "mirostat", "mirostat_mode", "xtc_probability", "dry_multiplier",
               "smoothing_factor", "dynatemp_range", "epsilon_cutoff", "eta_cutoff",
               "no_repeat_ngram_size", "penalty_alpha"},
              {0}, kOff);
  t.OnlyOneOf({"top_n_sigma", "nsigma"}, {0, -1}, kOff);
  t.OnlyOneOf({"use_beam_search"}, {false}, kOff);
  t.OnlyOneOf({"include_stop_str_in_output"}, {false}, "A stop string is no part of the answer.");
  t.OnlyOneOf({"return_token_ids", "return_tokens_as_token_ids"}, {false},
              "Tokens are given as texts.");
  t.OnlyOneOf({"skip_special_tokens", "spaces_between_special_tokens", "detokenize"}, {true, false},
              "Text of the answer has no special tokens in any case.");
  t.OnlyOneOf({"bad_words", "banned_tokens", "banned_strings", "custom_token_bans",
               "allowed_token_ids", "logits_processors", "sampler_order"},
              {OrderedJson::array(), ""}, "Use `logit_bias`.");
  t.OnlyOneOf({"truncate_prompt_tokens"}, {-1, 0},
              "A prompt that is too long is refused, not cut.");
  t.Hint({"mirostat_tau", "mirostat_eta", "xtc_threshold", "dry_base", "dry_allowed_length",
          "dry_sequence_breakers", "dry_penalty_last_n", "penalty_range", "rep_pen_range",
          "repeat_last_n", "temperature_last", "sampler_seed"},
         "they shape ways of sampling that are switched off");
  t.Hint({"num_ctx", "n_ctx", "max_context_length", "truncation_length", "num_gpu", "num_thread",
          "num_batch", "num_keep", "low_vram", "use_mmap", "use_mlock", "main_gpu"},
         "flags of `facet serve` set these");
  t.Hint({"keep_alive", "ttl"}, "models stay in memory as long as there is room");
  t.Hint({"priority", "id_slot", "n_keep", "n_discard", "request_id", "kv_transfer_params"},
         "requests are scheduled fairly, by key");
}

// A text, a JSON schema as an object or as text, or a list: the form of the answer.
void SetFormat(JsonFields& fields, std::string_view name, ResponseFormat::Kind kind, Common& out) {
  using Kind = ResponseFormat::Kind;
  OrderedJson* value = fields.Any(name);
  if (value == nullptr || (value->is_string() && value->get_ref<const std::string&>().empty()))
    return;
  ResponseFormat format{.kind = kind, .param = fields.Path(name)};
  if (kind == Kind::kChoice) {
    if (fields.Array(name, kMaxChoiceTexts) == nullptr) return;
    for (const OrderedJson& choice : *value) {
      if (!choice.is_string() || choice.get_ref<const std::string&>().empty())
        return fields.Fail(name, Cat("expected texts but got ", ShowJson(choice)), "invalid_type");
      format.choices.push_back(choice.get<std::string>());
    }
    if (format.choices.empty()) return;
  } else if (kind == Kind::kJsonSchema) {
    if (value->is_string()) {
      auto parsed =
          ParseJson(value->get_ref<const std::string&>(), {.max_depth = kMaxRequestJsonDepth});
      if (!parsed) return fields.Fail(name, parsed.error());
      *value = *std::move(parsed);
    }
    if (!value->is_object()) return fields.FailType(name, "a JSON schema", *value);
    format.schema = std::move(*value);
  } else {
    auto text = fields.MoveString(name, kMaxGivenGrammar);
    if (!text) return;
    format.text = *std::move(text);
  }
  out.format = std::move(format);
}

FieldTable<Common> StructureFields() {
  FieldTable<Common> t;
  using Kind = ResponseFormat::Kind;
  const auto row = [&](const char* name, const char* type, Kind kind, const char* about) -> auto& {
    return t.Custom(name, type, "", about,
                    [kind](JsonFields& fields, std::string_view field, Common& out) {
                      SetFormat(fields, field, kind, out);
                    });
  };
  row("json", "object or string", Kind::kJsonSchema, "JSON that fits this schema.");
  row("regex", "string", Kind::kRegex, "A text that this regular expression matches whole.");
  row("choice", "list of strings", Kind::kChoice, "One of these texts.");
  row("grammar", "string", Kind::kGrammar, "A text of this grammar, in Lark or GBNF.");
  t.Flag(
      "json_object",
      [](Common& out, bool value) {
        if (value) out.format = {.kind = Kind::kJsonObject, .param = "structured_outputs"};
      },
      "Any JSON object.");
  t.OnlyOneOf({"structural_tag"}, {""}, "Use `tools` with `strict`.");
  t.Hint({"disable_fallback", "disable_any_whitespace", "disable_additional_properties",
          "whitespace_pattern", "backend"},
         "for another constraint engine");
  return t;
}

FieldTable<Common> MakeCommonFields() {
  FieldTable<Common> t;
  t.Object("options", "As Ollama has them; the fields beside it count more.", OptionFields());
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
  t.Integer("top_k", SetTopK, -1, INT32_MAX,
            "Samples among so many of the likeliest tokens; 0 or -1: among all.");
  t.Number("presence_penalty", &Common::presence_penalty, -2, 2,
           "Subtracted once from the logit of each token that the answer has already.");
  t.Number("frequency_penalty", &Common::frequency_penalty, -2, 2,
           "Subtracted for each time that the answer has the token.");
  t.Number(
       "repetition_penalty", &Common::repetition_penalty, 0.01, 100,
       "Divides positive and multiplies negative logits of tokens of the prompt and the answer.")
      .Or("repeat_penalty");
  t.Integer("seed", SetSeed, INT64_MIN, INT64_MAX,
            "The same request with the same seed gives the same answer. Without it, or with -1: "
            "another one each time. Choice number i of a request uses seed + i.");
  t.Flag("stream", &Common::stream, "Server-sent events instead of one JSON object.");
  t.Flag("cache_prompt", &Common::use_cache,
         "False: neither uses the prefix cache nor leaves anything in it. True by default.");
  t.Flag("return_progress", &Common::progress,
         "Comments of an idle stream say how much of the prompt has been read.");
  t.Text("cache_salt", &Common::salt, 1024,
         "Requests share cached prefixes only with those of the same API key and salt.");
  t.Custom("stop", "string or list of strings", Cat("at most ", kMaxStop, " bytes each"),
           "The answer ends before the first of them, which is not part of it. Empty ones do not "
           "count.",
           ReadStop);
  t.Custom("stop_token_ids", "list of integers", "",
           "Tokens that end the answer, beside the model's own.", ReadStopTokens);
  t.Integer("min_tokens", &Common::min_tokens, 0, INT32_MAX,
            "Before so many tokens the answer does not end itself, and stop strings do not count.");
  t.Flag("ignore_eos", &Common::ignore_eos,
         "True: the answer goes on to its limit. Where it must have a form, it ends with that.");
  t.Custom("logit_bias", "object", Cat("at most ", kMaxBiases, " tokens, -100 to 100 each"),
           "Added to the logits of tokens, by id; -100 bans a token.", ReadBias);
  t.Object("stream_options", "What a stream holds beside the answer.", StreamOptions());
  t.Ignored({"user", "safety_identifier"}, "who the end user is; nothing is kept by user");
  t.Ignored({"metadata"}, "notes for a hosted service's records");
  t.Ignored({"service_tier", "prompt_cache_key", "prompt_cache_retention"},
            "billing and caching of hosted services; prefixes are cached by content here");
  t.Ignored({"prediction"}, "a hint for speed; drafting needs none and changes no answer");
  t.Ignored({"timings_per_token"}, "answers carry their timings anyway");
  t.Object("structured_outputs",
           "A form that the answer must have: see [Structured answers](#structured-answers).",
           StructureFields());
  using Kind = ResponseFormat::Kind;
  const auto structure = [&](std::vector<const char*> names, const char* type, Kind kind,
                             const char* about) {
    t.Custom(names[0], type, "", about,
             [kind](JsonFields& fields, std::string_view field, Common& out) {
               SetFormat(fields, field, kind, out);
             });
    for (size_t i = 1; i < names.size(); ++i) t.Or(names[i]);
  };
  structure({"guided_json", "json_schema"}, "object or string", Kind::kJsonSchema,
            "As `structured_outputs.json`.");
  structure({"guided_regex", "regex"}, "string", Kind::kRegex, "As `structured_outputs.regex`.");
  structure({"guided_choice", "choice"}, "list of strings", Kind::kChoice,
            "As `structured_outputs.choice`.");
  structure({"guided_grammar", "grammar", "ebnf"}, "string", Kind::kGrammar,
            "As `structured_outputs.grammar`.");
  t.Hint({"guided_decoding_backend", "guided_whitespace_pattern"}, "for another constraint engine");
  AddForeignSampling(t);
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

void ReadStopList(JsonFields& fields, std::string_view name, Common& out) {
  const OrderedJson* stops = fields.Array(name, SIZE_MAX);
  for (size_t i = 0; stops != nullptr && i < stops->size(); ++i) {
    const OrderedJson& stop = (*stops)[i];
    if (!stop.is_string()) return fields.FailType(Cat(name, "[", i, "]"), "a string", stop);
    if (!stop.get_ref<const std::string&>().empty()) out.stop.push_back(stop.get<std::string>());
  }
}

void ReadMaxTokens(JsonFields& fields, std::string_view name, int least, Common& out) {
  const auto n = fields.Int(name, INT64_MIN, INT64_MAX);
  if (!n) return;
  // -1 and -2 are how others spell that there is no limit.
  const bool unlimited = *n == -1 || *n == -2;
  if (!unlimited && *n < least) {
    return fields.Fail(name,
                       Cat("expected at least ", least, ", or -1 for no limit, but got ", *n));
  }
  out.max_tokens = unlimited ? INT32_MAX : static_cast<int>(std::min<int64_t>(*n, INT32_MAX));
}

FieldTable<Common> ChoiceFields(int least) {
  FieldTable<Common> t;
  t.Integer("n", &Common::choices, 1, kMaxChoices, "Answers to the same prompt.");
  t.Custom("max_tokens", "integer", Cat("from ", least),
           "Tokens of the answer at most, thoughts included; -1: no limit. Without it: what the "
           "context has left, and 16 for completions.",
           [least](JsonFields& fields, std::string_view name, Common& out) {
             ReadMaxTokens(fields, name, least, out);
           })
      .Or("max_completion_tokens");
  return t;
}

FieldTable<Common> OptionFields() {
  FieldTable<Common> t;
  t.Number("temperature", &Common::temperature, 0, 100, "As `temperature`.");
  t.Number("top_p", &Common::top_p, 0, 1, "As `top_p`.");
  t.Number("min_p", &Common::min_p, 0, 1, "As `min_p`.");
  t.Integer("top_k", SetTopK, -1, INT32_MAX, "As `top_k`.");
  t.Number("presence_penalty", &Common::presence_penalty, -2, 2, "As `presence_penalty`.");
  t.Number("frequency_penalty", &Common::frequency_penalty, -2, 2, "As `frequency_penalty`.");
  t.Number("repeat_penalty", &Common::repetition_penalty, 0.01, 100, "As `repetition_penalty`.");
  t.Integer("seed", SetSeed, INT64_MIN, INT64_MAX, "As `seed`.");
  t.Custom("stop", "string or list of strings", "", "As `stop`.", ReadStop);
  t.Custom("num_predict", "integer", "", "As `max_tokens`; below 0: no limit.",
           [](JsonFields& fields, std::string_view name, Common& out) {
             ReadMaxTokens(fields, name, 1, out);
           });
  AddForeignSampling(t);
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
