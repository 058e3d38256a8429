#include "runtime/loaded_model.h"

#include <algorithm>
#include <cstdlib>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/space.h"
#include "chat/load_template.h"
#include "engine/model_executor.h"
#include "engine/scripted_executor.h"
#include "model/estimate.h"
#include "runtime/data_folder.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

// The vocabulary of Gemma 4 in memory.
constexpr size_t kScriptBytes = size_t{32} << 20;

std::vector<std::string> ModalitiesOf(const ModelConfig& config) {
  std::vector<std::string> out = {"text"};
  if (config.vision) out.insert(out.end(), {"image", "video"});
  if (config.audio) out.push_back("audio");
  return out;
}

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
    model.chat_template = std::make_shared<ChatTemplate>(std::move(**made));
  } else {
    model.template_error =
        "this model has no chat template: it continues plain text (/v1/completions)";
  }
}

// Scripts speak the vocabulary of Gemma 4.
Result<fs::path> ScriptVocabulary(const fs::path& given) {
  if (!given.empty()) return given;
  auto found = FindData("vocab/gemma4.gguf");
  if (found.ok()) return found;
  return Error{
      Cat("no vocabulary for the scripted model, give --vocab FILE: ", found.error().message),
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
  FACET_ASSIGN(const fs::path vocabulary, ScriptVocabulary(options.vocabulary));
  FACET_ASSIGN(model.tokenizer, Tokenizer::Load(vocabulary));
  ScriptOptions script;
  if (options.context > 0) script.context = options.context;
  script.cache_budget = options.cache_budget;
  model.config = ScriptConfig(*model.tokenizer, script.context);
  model.sampling.temperature = 0;
  for (const AdapterSpec& adapter : spec.adapters)
    model.adapters[adapter.name] = {nullptr, adapter.name};
  AddTemplate(model, vocabulary);
  AddTokens(model);
  FACET_ASSIGN(auto executor, LoadScript(*spec.script, model.tokenizer, script));
  EngineOptions engine = options.engine;
  // A script sets the time of each token: nothing is drafted unless that is asked for.
  if (engine.draft.mode == DraftOptions::Mode::kAuto) engine.draft.mode = DraftOptions::Mode::kOff;
  model.engine = std::make_shared<Engine>(std::move(executor), engine);
  return Ok();
}

constexpr const char* kAdapterFiles[] = {"adapter_config.json", "adapter_model.safetensors"};

// Prefixes on disk must not outlive a change of the adapter that they were computed with.
Result<LoadedAdapter> LoadAdapter(const Model& model, const AdapterSpec& spec) {
  LoadedAdapter out;
  FACET_ASSIGN(out.weights, model.LoadAdapter(spec.folder));
  out.identity = spec.name;
  for (const char* name : kAdapterFiles) {
    FACET_ASSIGN(const MappedFile file, MappedFile::Open(spec.folder / name));
    const Sha256Digest digest = Sha256(file.bytes());
    out.identity.append(digest.begin(), digest.end());
  }
  return out;
}

bool UsesDrafter(const ModelSpec& spec, const ModelOptions& options) {
  return spec.files.drafter && options.engine.draft.mode != DraftOptions::Mode::kOff;
}

Result<void> LoadWeights(const ModelSpec& spec, const ModelOptions& options, LoadedModel& model) {
  const fs::path& path = spec.files.model;
  FACET_ASSIGN(model.tokenizer, Tokenizer::Load(path));
  model.pool = std::make_shared<ThreadPool>(options.threads);
  LoadOptions load;
  load.model = path;
  load.mmproj = spec.files.mmproj;
  load.cache = options.cache_type;
  load.cache_budget = options.cache_budget;
  FACET_ASSIGN(model.model, Model::Load(load, *model.pool));
  model.config = model.model->config();
  model.eos.assign(model.config.generation.eos.begin(), model.config.generation.eos.end());
  model.sampling = DefaultSampling(model.config.generation);
  for (const AdapterSpec& adapter : spec.adapters) {
    auto loaded = LoadAdapter(*model.model, adapter);
    if (!loaded) return loaded.error().In(Cat("adapter ", adapter.name));
    model.adapters[adapter.name] = std::move(*loaded);
  }
  AddTemplate(model, path);
  AddTokens(model);
  std::unique_ptr<Drafter> drafter;
  if (UsesDrafter(spec, options)) {
    FACET_ASSIGN(drafter, Drafter::Load(*spec.files.drafter, *model.model));
  }
  model.engine = std::make_shared<Engine>(
      MakeModelExecutor(*model.model, options.context, std::move(drafter)), options.engine);
  return Ok();
}

// A cache that holds nothing is an error; a context below the one asked for is a warning.
Result<void> CheckContext(const LoadedModel& model, const ModelOptions& options) {
  const int context = model.engine->context(), own = model.config.text.context;
  const int wanted = options.context > 0 ? std::min(options.context, own) : own;
  if (context == wanted) return Ok();
  const std::string room = HumanBytes(static_cast<int64_t>(options.cache_budget));
  if (context < 2) {
    return Error{Cat("the ", room, " for keys and values do not hold a conversation"),
                 ErrorKind::kResource};
  }
  spdlog::log(options.context > 0 ? spdlog::level::warn : spdlog::level::debug,
              "{}: a context of {} tokens, not of {}: the {} for keys and values hold no more",
              model.id, context, wanted, room);
  return Ok();
}

}  // namespace

std::vector<std::string> LoadedModel::Modalities() const {
  return ModalitiesOf(config);
}

Result<std::shared_ptr<const ConstraintVocabulary>> LoadedModel::Constraints() const {
  const std::lock_guard lock(constraints_->mutex);
  if (constraints_->vocabulary == nullptr) {
    FACET_ASSIGN(constraints_->vocabulary, ConstraintVocabulary::Create(*tokenizer, eos));
  }
  return constraints_->vocabulary;
}

Result<std::shared_ptr<LoadedModel>> LoadModel(const ModelSpec& spec, const ModelOptions& options) {
  auto model = std::make_shared<LoadedModel>();
  model->id = spec.id;
  model->created = UnixSeconds();
  model->transparency = options.transparency;
  if (spec.script) {
    FACET_TRY(LoadScripted(spec, options, *model));
  } else {
    FACET_TRY(LoadWeights(spec, options, *model));
  }
  FACET_TRY(CheckContext(*model, options));
  return model;
}

std::shared_ptr<LoadedModel> WithAdapter(const LoadedModel& base, const AdapterSpec& adapter) {
  auto model = std::make_shared<LoadedModel>(base);
  model->id = Cat(base.id, ":", adapter.name);
  model->adapter = base.adapters.at(adapter.name);
  return model;
}

Result<ModelFacts> MeasureModel(const ModelSpec& spec, const ModelOptions& options) {
  ModelFacts facts;
  facts.cache = options.cache_budget;
  if (spec.script) {
    facts.fixed = kScriptBytes;
    facts.least = std::min(facts.cache, kScriptBytes);
    facts.layout = ScriptLayout(ScriptOptions().window);
    facts.context = facts.layout.TokensIn(
        facts.cache, options.context > 0 ? options.context : ScriptOptions().context);
    facts.modalities = {"text", "image", "video", "audio"};
    return facts;
  }
  FACET_ASSIGN(const Checkpoint checkpoint, LoadCheckpoint(spec.files.model, spec.files.mmproj));
  facts.context = checkpoint.config.text.context;
  if (options.context > 0) facts.context = std::min(facts.context, options.context);
  const MemoryEstimate memory = EstimateMemory(
      checkpoint, {.context = std::min(facts.context, kLeastContext), .cache = options.cache_type});
  facts.fixed = memory.total() - memory.cache;
  if (UsesDrafter(spec, options)) {
    FACET_ASSIGN(const DrafterEstimate drafter,
                 EstimateDrafter(*spec.files.drafter, options.engine.max_sequences));
    facts.fixed += drafter.total();
  }
  for (const AdapterSpec& adapter : spec.adapters) {
    // Computed in float32, kept in 16 bits as a rule.
    std::error_code code;
    const uintmax_t bytes = fs::file_size(adapter.folder / kAdapterFiles[1], code);
    if (!code) facts.fixed += 2 * bytes;
  }
  facts.layout =
      CacheLayout::Create(checkpoint.config.text, options.cache_type, LoadOptions().compact_cache);
  facts.least = facts.layout.PeakBytes(std::min(facts.context, kLeastContext));
  facts.context = facts.layout.TokensIn(facts.cache, facts.context);
  facts.modalities = ModalitiesOf(checkpoint.config);
  return facts;
}

}  // namespace facet
