#include "model/generation_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "formats/json.h"

namespace facet {
namespace {

using nlohmann::json;

constexpr const char* kFile = "generation_config.json";
constexpr const char* kSourceKey = "facet.generation_config";
constexpr const char* kSuppressKey = "tokenizer.ggml.suppress_tokens";
constexpr int64_t kMaxTokenId = 1 << 24;

// A field that Transformers heeds and facet does not, with the values that make no difference.
struct UnheededField {
  const char* name;
  json neutral;
};

const std::vector<UnheededField>& UnheededFields() {
  static const std::vector<UnheededField> fields = {
      {"bad_words_ids", json::array()},
      {"begin_suppress_tokens", json::array()},
      {"diversity_penalty", 0},
      {"encoder_no_repeat_ngram_size", 0},
      {"encoder_repetition_penalty", 1},
      {"epsilon_cutoff", 0},
      {"eta_cutoff", 0},
      {"exponential_decay_length_penalty", nullptr},
      {"forced_bos_token_id", nullptr},
      {"forced_eos_token_id", nullptr},
      {"guidance_scale", 1},
      {"min_length", 0},
      {"min_new_tokens", 0},
      {"no_repeat_ngram_size", 0},
      {"num_beams", 1},
      {"penalty_alpha", 0},
      {"sequence_bias", json::object()},
      {"stop_strings", json::array()},
      {"typical_p", 1},
      {"watermarking_config", nullptr},
  };
  return fields;
}

void WarnOfUnheeded(const json& generation) {
  for (const UnheededField& field : UnheededFields()) {
    if (!generation.contains(field.name)) continue;
    const json& value = generation[field.name];
    if (value.is_null() || value == field.neutral) continue;
    spdlog::warn("{}: {} {} is not heeded", kFile, field.name, ShowJson(value));
  }
}

// Reads typed values; the first failure is kept and names the field.
class GenerationReader {
 public:
  explicit GenerationReader(const json& object) : object_(object) {}

  std::optional<double> Number(const char* name, double low, double high) {
    const json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_number() && *value >= low && *value <= high) return value->get<double>();
    Fail(Cat("a number from ", low, " to ", high), *value, name);
    return std::nullopt;
  }

  std::optional<bool> Bool(const char* name) {
    const json* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_boolean()) return value->get<bool>();
    Fail("true or false", *value, name);
    return std::nullopt;
  }

  // A number or a list of them. Ids that no vocabulary has are left out: -1 stands for none.
  std::vector<int> Ids(const char* name) {
    std::vector<int> ids;
    const json* value = Find(name);
    if (value == nullptr) return ids;
    for (const json& id : value->is_array() ? *value : json::array({*value})) {
      if (!id.is_number_integer()) {
        Fail("a token id, or a list of them", *value, name);
        return ids;
      }
      if (id >= 0 && id < kMaxTokenId) ids.push_back(id.get<int>());
    }
    return ids;
  }

  Result<void> Done() const { return error_ ? Result<void>(*error_) : Ok(); }

 private:
  const json* Find(const char* name) const {
    const auto at = object_.find(name);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }

  void Fail(std::string_view want, const json& got, const char* name) {
    if (!error_) error_ = Expected(want, ShowJson(got), Cat(kFile, ": ", name));
  }

  const json& object_;
  std::optional<Error> error_;
};

// The values of general.sampling that stand for a configuration.
struct SamplingKeys {
  std::optional<int32_t> top_k;
  std::optional<float> top_p, min_p, temperature, penalty;
};

SamplingKeys KeysOf(const GenerationConfig& generation) {
  const auto narrow = [](const std::optional<double>& value) {
    return value ? std::optional<float>(static_cast<float>(*value)) : std::nullopt;
  };
  SamplingKeys keys;
  if (generation.top_k) keys.top_k = *generation.top_k;
  keys.top_p = narrow(generation.top_p);
  keys.min_p = narrow(generation.min_p);
  keys.penalty = narrow(generation.repetition_penalty);
  keys.temperature = narrow(generation.temperature);
  if (generation.do_sample == false) keys.temperature = 0.0f;
  return keys;
}

// A key that is there and says something else than the text did.
template <typename T, typename U>
bool Changed(const Result<T>& key, const std::optional<U>& written) {
  return key.ok() && (!written || static_cast<U>(*key) != *written);
}

Result<void> ReadSource(const Gguf& file, GenerationConfig& out) {
  if (!file.Has(kSourceKey)) return Ok();
  const std::string where = Cat(file.path().string(), ": ", kSourceKey);
  const auto text = file.String(kSourceKey);
  if (!text.ok()) return text.error().In(file.path().string());
  FACET_ASSIGN(const json object, ParseJson(*text, where));
  auto read = GenerationFromJson(object, nullptr);
  if (!read.ok()) return read.error().In(where);
  if (read->eos.empty()) read->eos = std::move(out.eos);
  if (file.Has(kSuppressKey)) read->suppress = std::move(out.suppress);
  out = std::move(*read);
  return Ok();
}

}  // namespace

Result<GenerationConfig> GenerationFromJson(const json& generation, const json& eos) {
  GenerationConfig out;
  json all = generation.is_null() ? json::object() : generation;
  if (!all.is_object()) return Expected("a JSON object", ShowJson(all), kFile);
  if (!eos.is_null() && (!all.contains("eos_token_id") || all["eos_token_id"].is_null()))
    all["eos_token_id"] = eos;
  GenerationReader read(all);
  out.eos = read.Ids("eos_token_id");
  out.suppress = read.Ids("suppress_tokens");
  out.do_sample = read.Bool("do_sample");
  out.temperature = read.Number("temperature", 0, 100);
  out.top_p = read.Number("top_p", 0, 1);
  out.min_p = read.Number("min_p", 0, 1);
  out.repetition_penalty = read.Number("repetition_penalty", 1e-3, 1e3);
  // -1 is another spelling of "all".
  if (const auto k = read.Number("top_k", -1, 1 << 24))
    out.top_k = std::max(0, static_cast<int>(*k));
  FACET_TRY(read.Done());
  WarnOfUnheeded(all);
  if (!all.empty()) out.source = DumpJson(all);
  return out;
}

void SetGenerationKeys(const GenerationConfig& generation, GgufWriter& writer) {
  const SamplingKeys keys = KeysOf(generation);
  const auto set = [&](const char* key, const auto& value) {
    if (value) writer.Set(key, *value);
  };
  set("general.sampling.top_k", keys.top_k);
  set("general.sampling.top_p", keys.top_p);
  set("general.sampling.min_p", keys.min_p);
  set("general.sampling.temp", keys.temperature);
  set("general.sampling.penalty_repeat", keys.penalty);
  if (!generation.suppress.empty()) {
    writer.Set(kSuppressKey,
               std::vector<int32_t>(generation.suppress.begin(), generation.suppress.end()));
  }
  if (!generation.source.empty()) writer.Set(kSourceKey, generation.source);
}

Result<void> ReadGenerationKeys(const Gguf& file, GenerationConfig& out) {
  FACET_TRY(ReadSource(file, out));
  const SamplingKeys written = KeysOf(out);
  if (const auto v = file.Int("general.sampling.top_k"); Changed(v, written.top_k))
    out.top_k = static_cast<int>(std::clamp<int64_t>(*v, 0, 1 << 24));
  if (const auto v = file.Float("general.sampling.top_p"); Changed(v, written.top_p))
    out.top_p = *v;
  if (const auto v = file.Float("general.sampling.min_p"); Changed(v, written.min_p))
    out.min_p = *v;
  if (const auto v = file.Float("general.sampling.penalty_repeat"); Changed(v, written.penalty))
    out.repetition_penalty = *v;
  if (const auto v = file.Float("general.sampling.temp"); Changed(v, written.temperature)) {
    out.do_sample = *v > 0;
    if (*v > 0) out.temperature = *v;
  }
  return Ok();
}

}  // namespace facet
