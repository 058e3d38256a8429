// A model in memory with all that a request needs of it, and what it takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "engine/answer.h"
#include "engine/engine.h"
#include "engine/grammar_constraint.h"
#include "formats/model_files.h"
#include "media/media.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace facet {

struct LoadedAdapter {
  std::shared_ptr<const Adapter> weights;  // null for a script
  std::string identity;                    // its name and a digest of its files
};

// A model with one adapter is a LoadedModel of its own that shares everything else.
struct LoadedModel {
  std::string id;
  LoadedAdapter adapter;                          // empty: the base model
  std::map<std::string, LoadedAdapter> adapters;  // all that it can be served with
  int64_t created = 0;                            // seconds since 1970
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  // null: a base model without one
  std::string template_error;                         // why there is none
  bool template_damaged = false;                      // there is one, but it does not compile
  std::vector<TokenId> eos;
  std::optional<TokenId> call_open;  // <|tool_call>
  media::Transparency transparency = media::Transparency::kWhite;
  SamplingParams sampling;  // the checkpoint's defaults
  std::shared_ptr<ThreadPool> pool;
  std::shared_ptr<Model> model;  // null for a script
  std::shared_ptr<Engine> engine;
  std::shared_ptr<CallRepairCounts> repairs = std::make_shared<CallRepairCounts>();

  std::vector<std::string> Modalities() const;
  // Built when it is asked for first.
  Result<std::shared_ptr<const ConstraintVocabulary>> Constraints() const;

 private:
  struct LazyConstraints {
    std::mutex mutex;
    std::shared_ptr<const ConstraintVocabulary> vocabulary;
  };
  std::shared_ptr<LazyConstraints> constraints_ = std::make_shared<LazyConstraints>();
};

// A folder with adapter_config.json and adapter_model.safetensors.
struct AdapterSpec {
  std::string name;
  std::filesystem::path folder;
};

struct ModelSpec {
  std::string id;
  ModelFiles files;
  std::optional<std::filesystem::path> script = {};  // plays this instead
  std::vector<AdapterSpec> adapters = {};            // each is served as ID:NAME
};

struct ModelOptions {
  EngineOptions engine;
  int context = 0;  // 0: the checkpoint's; never more than cache_budget holds of one conversation
  size_t cache_budget = size_t{2} << 30;
  int threads = 0;
  CacheType cache_type = CacheType::kF16;
  media::Transparency transparency = media::Transparency::kWhite;
  std::filesystem::path vocabulary;  // for scripts; empty: looked for
};

Result<std::shared_ptr<LoadedModel>> LoadModel(const ModelSpec& spec, const ModelOptions& options);
// The model as it is served under `id` with one of its adapters.
std::shared_ptr<LoadedModel> WithAdapter(const LoadedModel& base, const AdapterSpec& adapter);

// Known from the files alone.
struct ModelFacts {
  size_t fixed = 0;  // bytes without keys and values
  size_t cache = 0;  // bytes of keys and values at most, as the options say
  size_t least = 0;  // bytes of keys and values of one conversation of kLeastContext tokens
  int context = 0;   // tokens: what was asked for or the checkpoint has, as far as `cache` holds it
  CacheLayout layout;  // of keys and values
  std::vector<std::string> modalities;
};
constexpr int kLeastContext = 4096;

Result<ModelFacts> MeasureModel(const ModelSpec& spec, const ModelOptions& options);

}  // namespace facet
