// `facet run`: one answer, or a chat at the terminal.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <random>

#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/options/cache_type.h"
#include "cli/options/draft_options.h"
#include "cli/options/media_options.h"
#include "cli/resolve.h"
#include "cli/terminal/chat.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/report.h"

namespace facet::cli {
namespace {

using nlohmann::json;

struct RunOptions {
  std::string model, prompt, system, adapter;
  bool has_prompt = false;
  json media = json::array();  // parts, in the order of the command line
  bool think = false, no_think = false, as_json = false, stats = false;
  MediaOptions look;
  int max_tokens = 0, threads = 0, context = 0;
  std::string cache = "f16";
  std::optional<double> temperature, top_p, min_p;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  double repetition_penalty = 1.0, presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::string> stop, logit_bias;
  DraftFlags draft;
};

Result<SamplingParams> Sampling(const RunOptions& options, SamplingParams params) {
  if (options.temperature) params.temperature = *options.temperature;
  if (options.top_k) params.top_k = *options.top_k;
  if (options.top_p) params.top_p = *options.top_p;
  if (options.min_p) params.min_p = *options.min_p;
  params.repetition_penalty = options.repetition_penalty;
  params.presence_penalty = options.presence_penalty;
  params.frequency_penalty = options.frequency_penalty;
  params.seed = options.seed ? *options.seed : std::random_device()();
  for (const std::string& entry : options.logit_bias) {
    int id = 0, end = 0;
    float bias = 0;
    if (std::sscanf(entry.c_str(), "%d=%f%n", &id, &bias, &end) != 2 ||
        end != static_cast<int>(entry.size())) {
      return Expected("ID=BIAS", entry, "--logit-bias");
    }
    params.logit_bias[id] = bias;
  }
  return params;
}

Result<TurnOptions> MakeTurnOptions(const RunOptions& options, const LoadedModel& model) {
  TurnOptions turn;
  FACET_ASSIGN(turn.sampling, Sampling(options, model.sampling));
  turn.media = options.look;
  if (options.think) turn.thinking = true;
  if (options.no_think) turn.thinking = false;
  turn.max_tokens = options.max_tokens;
  turn.stop = options.stop;
  return turn;
}

json JsonAnswer(const LoadedModel& model, const Turn& turn) {
  const GenerationStats& s = turn.end.stats;
  json out = {{"model", model.id},
              {"content", turn.content},
              {"finish_reason", FinishReason(turn.end)},
              {"usage",
               {{"prompt_tokens", s.prompt},
                {"completion_tokens", s.generated},
                {"prompt_tokens_details", {{"cached_tokens", s.cached}}}}},
              {"timings", {{"prompt_ms", s.prompt_ms}, {"predicted_ms", s.decode_ms}}}};
  if (s.drafted > 0) {
    out["timings"]["draft_n"] = s.drafted;
    out["timings"]["draft_n_accepted"] = s.accepted;
  }
  if (!turn.reasoning.empty()) out["reasoning_content"] = turn.reasoning;
  if (!turn.tool_calls.empty()) out["tool_calls"] = turn.tool_calls;
  return out;
}

Result<void> RunOnce(const RunOptions& options, const LoadedModel& model,
                     const TurnOptions& turn_options) {
  json messages = json::array();
  if (!options.system.empty())
    messages.push_back({{"role", "system"}, {"content", options.system}});
  json content = options.prompt;
  if (!options.media.empty()) {
    content = options.media;
    if (!options.prompt.empty()) content.push_back({{"type", "text"}, {"text", options.prompt}});
  }
  messages.push_back({{"role", "user"}, {"content", content}});
  const InterruptFlag interrupt;
  TerminalView view(options.as_json);
  FACET_ASSIGN(const Turn turn, Answer(model, messages, turn_options, view, interrupt.flag()));
  view.End();
  if (options.as_json) {
    std::printf(
        "%s\n",
        JsonAnswer(model, turn).dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else if (!turn.tool_calls.empty()) {
    for (const json& call : turn.tool_calls) {
      std::printf("%s(%s)\n", call["name"].get<std::string>().c_str(),
                  call["arguments"].get<std::string>().c_str());
    }
  }
  if (options.stats && !options.as_json) std::fprintf(stderr, "%s\n", Describe(turn.end).c_str());
  if (turn.end.reason == AnswerEnd::Reason::kCancelled)
    return Error{"interrupted", ErrorKind::kCancelled};
  return Ok();
}

Result<void> Run(RunOptions& options) {
  const bool piped = isatty(STDIN_FILENO) == 0;
  if (piped && !options.has_prompt) {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    options.prompt = text;
    options.has_prompt = !text.empty();
  }
  const bool interactive = !options.has_prompt && (options.media.empty() || !piped);
  if (interactive && (piped || options.as_json)) {
    return Error{"there is no prompt: give one as an argument or on standard input"};
  }
  for (const json& part : options.media) {
    const std::string path = part["path"];
    if (access(path.c_str(), R_OK) != 0)
      return Error{Cat(path, ": cannot be read"), ErrorKind::kNotFound};
  }
  FACET_ASSIGN(ModelSpec spec, ResolveSpec(options.model));
  ModelOptions load;
  FACET_TRY(ApplyDraftFlags(options.draft, spec, load.engine.draft));
  load.threads = options.threads;
  load.context = options.context;
  load.cache_type = CacheTypeOf(options.cache);
  FACET_ASSIGN(const std::shared_ptr<LoadedModel> model, LoadModel(spec, load));
  if (!options.adapter.empty()) {
    if (model->model == nullptr) return Error{"--adapter needs a model with weights"};
    FACET_ASSIGN(std::shared_ptr<const Adapter> adapter,
                 model->model->LoadAdapter(options.adapter));
    model->model->set_adapter(std::move(adapter));
  }
  FACET_ASSIGN(const TurnOptions turn, MakeTurnOptions(options, *model));
  if (interactive)
    return ChatAtTerminal(*model, {options.system, options.media, turn, options.stats});
  return RunOnce(options, *model, turn);
}

// Media options in the order in which they stand on the command line.
json PartsInOrder(const CLI::App& command) {
  json parts = json::array();
  std::map<const CLI::Option*, size_t> taken;
  for (const CLI::Option* option : command.parse_order()) {
    for (const char* type : {"image", "audio", "video"}) {
      if (!option->check_name(Cat("--", type))) continue;
      const size_t index = taken[option]++;
      if (index < option->results().size())
        parts.push_back({{"type", type}, {"path", option->results()[index]}});
    }
  }
  return parts;
}

void AddSampling(CLI::App& command, RunOptions& options) {
  const char* group = "Sampling (defaults: the checkpoint's)";
  command.add_option("--temperature", options.temperature, "0 = always the likeliest token")
      ->group(group);
  command.add_option("--top-k", options.top_k, "Only the K likeliest; 0 = all")->group(group);
  command.add_option("--top-p", options.top_p, "Only the likeliest that hold this probability")
      ->group(group);
  command
      .add_option("--min-p", options.min_p, "Only tokens with this share of the likeliest one's")
      ->group(group);
  command.add_option("--seed", options.seed, "Same seed, same text")->group(group);
  command.add_option("--repetition-penalty", options.repetition_penalty, "Above 1: repeat less")
      ->group(group);
  command.add_option("--presence-penalty", options.presence_penalty, "Per token that was used")
      ->group(group);
  command.add_option("--frequency-penalty", options.frequency_penalty, "Per use of a token")
      ->group(group);
  command.add_option("--logit-bias", options.logit_bias, "ID=BIAS, may be repeated")->group(group);
  command.add_option("--stop", options.stop, "End the answer before this text; may be repeated")
      ->group(group);
}

}  // namespace

void AddRun(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "Ask a model once, or chat with it");
  command->add_option(
      "model", options->model,
      "A name, a checkpoint folder or a GGUF; none: the small one that comes along");
  CLI::Option* prompt = command->add_option("prompt", options->prompt,
                                            "The question; none: standard input, or a chat");
  // One value each time, so that the prompt may follow; Run reads them back in order.
  auto files = std::make_shared<std::vector<std::string>>();
  for (const char* type : {"image", "audio", "video"}) {
    command
        ->add_option(Cat("--", type), *files,
                     Cat("A file that stands before the text: ", type, "; may be repeated"))
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group("Media");
  }
  AddMediaOptions(*command, options->look);
  command->add_option("--system", options->system, "System prompt");
  CLI::Option* think = command->add_flag("--think", options->think, "Let the model think first");
  command->add_flag("--no-think", options->no_think, "Keep the model from thinking")
      ->excludes(think);
  command->add_option("--max-tokens", options->max_tokens, "Longest answer")
      ->check(CLI::Range(1, 1 << 24));
  command
      ->add_option("--ctx,--ctx-size,-c", options->context,
                   "Longest conversation in tokens; 0 = the model's")
      ->check(CLI::Range(0, 1 << 24));
  AddCacheType(*command, "--cache-type", options->cache);
  command->add_option("--threads,-t", options->threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  command->add_option("--adapter", options->adapter, "Folder of a LoRA adapter (PEFT)");
  command->add_flag("--stats,--verbose", options->stats, "Tokens and speeds after each answer");
  command->add_flag("--json", options->as_json, "The answer as JSON, with usage and timings");
  AddSampling(*command, *options);
  AddDraftFlags(*command, options->draft);
  command->footer(
      "Examples:\n"
      "  facet run gemma4-12b\n"
      "  facet run gemma4-12b \"What is in this picture?\" --image photo.jpg --image-budget 560\n"
      "  facet run ./model.gguf --audio talk.mp3 \"Write down what is said.\"\n"
      "  git diff | facet run gemma4-12b --system \"Write a commit message.\"");
  // `files` is what those options write into: it must live as long as the command.
  command->callback([options, files, command, prompt, &exit_code] {
    options->has_prompt = prompt->count() > 0;
    options->media = PartsInOrder(*command);
    exit_code = Report(Run(*options));
  });
}

}  // namespace facet::cli
