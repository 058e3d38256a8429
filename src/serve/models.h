// The models that a server offers, by name: loaded when they are first asked for, given up when
// memory is needed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "engine/engine.h"
#include "engine/grammar_constraint.h"
#include "formats/model_files.h"
#include "formats/tokenizer.h"
#include "model/model.h"

namespace facet::serve {

// A model in memory with all that a request needs of it.
struct LoadedModel {
  std::string id;
  int64_t created = 0;  // seconds since 1970
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null: a base model without one
  std::string template_error;                   // why there is none
  bool template_damaged = false;                // there is one, but it does not compile
  std::vector<TokenId> eos;
  std::optional<TokenId> call_open;  // <|tool_call>
  SamplingParams sampling;           // the checkpoint's defaults
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Model> model;  // null for a script
  std::unique_ptr<Engine> engine;

  std::vector<std::string> Modalities() const;
  // Built when it is asked for first.
  Result<std::shared_ptr<const ConstraintVocabulary>> Constraints();

 private:
  std::mutex constraints_mutex_;
  std::shared_ptr<const ConstraintVocabulary> constraints_;
};

struct ModelSpec {
  std::string id;
  ModelFiles files;
  std::optional<std::filesystem::path> script;  // plays this instead
};

struct ModelOptions {
  EngineOptions engine;
  int context = 0;  // 0: the checkpoint's
  size_t cache_budget = size_t{2} << 30;
  int threads = 0;
  CacheType cache_type = CacheType::kF16;
  std::filesystem::path vocabulary;  // for scripts; empty: looked for
};

Result<std::shared_ptr<LoadedModel>> LoadModel(const ModelSpec& spec, const ModelOptions& options);

class Models {
 public:
  Models(std::vector<ModelSpec> specs, ModelOptions options);
  ~Models();

  // Names in the order of the command line.
  std::vector<std::string> ids() const;
  // The first model, for requests that name none.
  const std::string& default_id() const { return entries_.front()->spec.id; }
  // Loads it where it is not in memory. Errors: kNotFound, or why it does not load.
  Result<std::shared_ptr<LoadedModel>> Get(const std::string& id);
  // In memory now; null otherwise.
  std::shared_ptr<LoadedModel> Loaded(const std::string& id) const;
  // Gives all of them up; their running requests are cancelled.
  void Clear();
  // True once the first model has loaded.
  bool ready() const;

 private:
  struct Entry {
    ModelSpec spec;
    std::mutex loading;                   // held while it loads
    std::shared_ptr<LoadedModel> loaded;  // guarded by Models::mutex_
  };
  Entry* Find(const std::string& id) const;

  std::vector<std::unique_ptr<Entry>> entries_;
  ModelOptions options_;
  mutable std::mutex mutex_;
};

}  // namespace facet::serve
