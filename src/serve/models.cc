#include "serve/models.h"

#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "base/log.h"
#include "chat/load_template.h"
#include "engine/model_executor.h"
#include "engine/scripted_executor.h"

namespace facet::serve {
namespace {

namespace fs = std::filesystem;

void AddTokens(LoadedModel& model) {
  const Tokenizer& t = *model.tokenizer;
  model.call_open = t.Find("<|tool_call>");
  if (model.eos.empty()) {
    for (const char* name : {"<eos>", "<turn|>", "<|tool_response>", "<end_of_turn>"}) {
      if (const auto id = t.Find(name)) model.eos.push_back(*id);
    }
  }
}

void AddTemplate(LoadedModel& model, const fs::path& path) {
  auto made = LoadChatTemplate(path, *model.tokenizer);
  if (!made) {
    model.template_error = made.error().message;
    model.template_damaged = true;
  } else if (*made) {
    model.chat_template = std::make_unique<ChatTemplate>(std::move(**made));
  } else {
    model.template_error =
        "this model has no chat template: it continues plain text (/v1/completions)";
  }
}

// Scripts speak the vocabulary of Gemma 4.
Result<fs::path> FindVocabulary(const fs::path& given) {
  if (!given.empty()) return given;
  std::error_code code;
  const fs::path self = fs::read_symlink("/proc/self/exe", code).parent_path();
  constexpr std::string_view kPath = "tests/reference/gemma4/vocab.gguf";
  for (const fs::path& root :
       {fs::current_path(code), self / "..", self / ".." / "share" / "facet"}) {
    if (fs::exists(root / kPath, code)) return root / kPath;
  }
  return Error{
      Cat("no vocabulary for the scripted model: give --vocab FILE, or run where ", kPath, " is"),
      ErrorKind::kNotFound};
}

// A config that sees and hears, so that media requests pass through scripts as well.
ModelConfig ScriptConfig(const Tokenizer& tokenizer, int context) {
  const auto id = [&](const char* name) { return tokenizer.Find(name).value_or(-1); };
  ModelConfig config;
  config.vision = VisionConfig{};
  config.audio = AudioConfig{};
  config.text.context = context;
  config.text.vocab = static_cast<int>(tokenizer.size());
  config.tokens = {.image = id("<|image|>"),
                   .video = id("<|video|>"),
                   .audio = id("<|audio|>"),
                   .image_begin = id("<|image>"),
                   .image_end = id("<image|>"),
                   .audio_begin = id("<|audio>"),
                   .audio_end = id("<audio|>")};
  return config;
}

Result<void> LoadScripted(const ModelSpec& spec, const ModelOptions& options, LoadedModel& model) {
  FACET_ASSIGN(const fs::path vocabulary, FindVocabulary(options.vocabulary));
  FACET_ASSIGN(model.tokenizer, Tokenizer::Load(vocabulary));
  ScriptOptions script;
  if (options.context > 0) script.context = options.context;
  script.cache_budget = options.cache_budget;
  model.config = ScriptConfig(*model.tokenizer, script.context);
  model.sampling.temperature = 0;
  AddTemplate(model, vocabulary);
  AddTokens(model);
  FACET_ASSIGN(auto executor, LoadScript(*spec.script, model.tokenizer, script));
  EngineOptions engine = options.engine;
  // A script says when each token comes: it is drafted where that is asked for alone.
  if (engine.draft.mode == DraftOptions::Mode::kAuto) engine.draft.mode = DraftOptions::Mode::kOff;
  model.engine = std::make_unique<Engine>(std::move(executor), engine);
  return Ok();
}

Result<void> LoadWeights(const ModelSpec& spec, const ModelOptions& options, LoadedModel& model) {
  const fs::path& path = spec.files.model;
  FACET_ASSIGN(model.tokenizer, Tokenizer::Load(path));
  model.pool = std::make_unique<ThreadPool>(options.threads);
  LoadOptions load;
  load.model = path;
  load.mmproj = spec.files.mmproj;
  load.cache = options.cache_type;
  load.cache_budget = options.cache_budget;
  FACET_ASSIGN(model.model, Model::Load(load, *model.pool));
  model.config = model.model->config();
  model.eos.assign(model.config.generation.eos.begin(), model.config.generation.eos.end());
  model.sampling = DefaultSampling(model.config.generation);
  AddTemplate(model, path);
  AddTokens(model);
  std::unique_ptr<Drafter> drafter;
  if (spec.files.drafter && options.engine.draft.mode != DraftOptions::Mode::kOff) {
    FACET_ASSIGN(drafter, Drafter::Load(*spec.files.drafter, *model.model));
  }
  model.engine = std::make_unique<Engine>(
      MakeModelExecutor(*model.model, options.context, std::move(drafter)), options.engine);
  return Ok();
}

}  // namespace

std::vector<std::string> LoadedModel::Modalities() const {
  std::vector<std::string> out = {"text"};
  if (config.vision) out.insert(out.end(), {"image", "video"});
  if (config.audio) out.push_back("audio");
  return out;
}

Result<std::shared_ptr<const ConstraintVocabulary>> LoadedModel::Constraints() {
  const std::lock_guard lock(constraints_mutex_);
  if (constraints_ == nullptr) {
    FACET_ASSIGN(constraints_, ConstraintVocabulary::Create(*tokenizer, eos));
  }
  return constraints_;
}

Result<std::shared_ptr<LoadedModel>> LoadModel(const ModelSpec& spec, const ModelOptions& options) {
  auto model = std::make_shared<LoadedModel>();
  model->id = spec.id;
  model->created = static_cast<int64_t>(std::time(nullptr));
  if (spec.script) {
    FACET_TRY(LoadScripted(spec, options, *model));
  } else {
    FACET_TRY(LoadWeights(spec, options, *model));
  }
  return model;
}

Models::Models(std::vector<ModelSpec> specs, ModelOptions options) : options_(std::move(options)) {
  for (ModelSpec& spec : specs) {
    entries_.push_back(std::make_unique<Entry>());
    entries_.back()->spec = std::move(spec);
  }
}

Models::~Models() = default;

std::vector<std::string> Models::ids() const {
  std::vector<std::string> out;
  for (const auto& entry : entries_) out.push_back(entry->spec.id);
  return out;
}

Models::Entry* Models::Find(const std::string& id) const {
  for (const auto& entry : entries_) {
    if (entry->spec.id == id) return entry.get();
  }
  return nullptr;
}

std::shared_ptr<LoadedModel> Models::Loaded(const std::string& id) const {
  const Entry* entry = Find(id);
  const std::lock_guard lock(mutex_);
  return entry == nullptr ? nullptr : entry->loaded;
}

Result<std::shared_ptr<LoadedModel>> Models::Get(const std::string& id) {
  Entry* entry = Find(id);
  if (entry == nullptr)
    return Error{Cat("the model '", id, "' does not exist"), ErrorKind::kNotFound};
  const std::lock_guard loading(entry->loading);
  if (auto loaded = Loaded(id)) return loaded;
  spdlog::info("loading {}", id);
  auto loaded = LoadModel(entry->spec, options_);
  if (!loaded) {
    spdlog::error("{}: {}", id, loaded.error().message);
    return loaded.error().In(id);
  }
  const std::lock_guard lock(mutex_);
  entry->loaded = *loaded;
  return *loaded;
}

void Models::Clear() {
  std::vector<std::shared_ptr<LoadedModel>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries_) all.push_back(std::move(entry->loaded));
  }
  for (const auto& model : all) {
    if (model != nullptr) model->engine->Stop();
  }
}

bool Models::ready() const {
  const std::lock_guard lock(mutex_);
  return entries_.front()->loaded != nullptr;
}

}  // namespace facet::serve
