// `facet run`: one answer, or a chat at the terminal.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <random>

#include "base/log.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/options/cache_type.h"
#include "cli/options/draft_options.h"
#include "cli/options/media_options.h"
#include "cli/options/number_checks.h"
#include "cli/terminal/answer_view.h"
#include "cli/terminal/chat.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/python_host.h"
#include "cli/terminal/report.h"
#include "cli/terminal/resolve.h"
#include "cli/terminal/streams.h"
#include "runtime/conversation.h"
#include "runtime/resolve.h"

namespace facet::cli {
namespace {

using nlohmann::json;

struct RunFlags {
  std::string model, prompt, system, adapter;
  bool has_prompt = false;
  bool prompt_given = false;   // on the command line, after the model
  json media = json::array();  // parts, in the order of the command line
  bool think = false, no_think = false, as_json = false, stats = false, verbose = false;
  MediaOptions look;
  int max_tokens = 0, threads = 0, context = 0;
  std::string cache = "f16";
  std::optional<double> temperature, top_p, min_p;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::optional<double> repetition_penalty;
  double presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::string> stop, logit_bias;
  DraftFlags draft;
  PythonFlags python;
};

Result<SamplingParams> SamplingOf(const RunFlags& flags, SamplingParams params) {
  if (flags.temperature) params.temperature = *flags.temperature;
  if (flags.top_k) params.top_k = *flags.top_k;
  if (flags.top_p) params.top_p = *flags.top_p;
  if (flags.min_p) params.min_p = *flags.min_p;
  if (flags.repetition_penalty) params.repetition_penalty = *flags.repetition_penalty;
  params.presence_penalty = flags.presence_penalty;
  params.frequency_penalty = flags.frequency_penalty;
  params.seed = flags.seed ? *flags.seed : std::random_device()();
  for (const std::string& entry : flags.logit_bias) {
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

Result<ReplyOptions> MakeReplyOptions(const RunFlags& flags, const LoadedModel& model) {
  ReplyOptions reply;
  FACET_ASSIGN(reply.sampling, SamplingOf(flags, model.sampling));
  reply.media = flags.look;
  if (flags.think) reply.thinking = true;
  if (flags.no_think) reply.thinking = false;
  reply.max_tokens = flags.max_tokens;
  reply.stop = flags.stop;
  return reply;
}

json JsonAnswer(const LoadedModel& model, const Reply& reply) {
  const GenerationStats& s = reply.end.stats;
  json out = {{"model", model.id},
              {"content", reply.content},
              {"finish_reason", FinishReason(reply)},
              {"usage",
               {{"prompt_tokens", s.prompt},
                {"completion_tokens", s.generated},
                {"prompt_tokens_details", {{"cached_tokens", s.cached}}}}},
              {"timings", {{"prompt_ms", s.prompt_ms}, {"predicted_ms", s.decode_ms}}}};
  if (s.drafted > 0) {
    out["timings"]["draft_n"] = s.drafted;
    out["timings"]["draft_n_accepted"] = s.accepted;
  }
  if (!reply.reasoning.empty()) out["reasoning_content"] = reply.reasoning;
  if (!reply.tool_calls.empty()) out["tool_calls"] = reply.tool_calls;
  return out;
}

json MessagesOf(const RunFlags& flags) {
  json messages = json::array();
  if (!flags.system.empty()) messages.push_back({{"role", "system"}, {"content", flags.system}});
  json content = flags.prompt;
  if (!flags.media.empty()) {
    content = flags.media;
    if (!flags.prompt.empty()) content.push_back({{"type", "text"}, {"text", flags.prompt}});
  }
  messages.push_back({{"role", "user"}, {"content", content}});
  return messages;
}

// How the answer ended, where that is not as it should.
Result<void> EndOf(const Reply& reply) {
  if (reply.repeats) {
    PrintError("facet: %s (--max-tokens)\n", kStoppedRepetition);
    return Ok();
  }
  if (reply.end.reason == AnswerEnd::Reason::kCancelled)
    return Error{"interrupted", ErrorKind::kCancelled};
  return Ok();
}

json JsonRuns(const PythonTurn& turn) {
  json runs = json::array();
  for (const PythonRun& run : turn.runs) {
    json pictures = json::array();
    for (const sandbox::MadePicture& picture : run.outcome.pictures)
      pictures.push_back(
          {{"name", picture.name}, {"width", picture.width}, {"height", picture.height}});
    runs.push_back({{"program", run.program},
                    {"ok", run.outcome.ok()},
                    {"why", run.outcome.Why()},
                    {"output", run.outcome.output},
                    {"errors", run.outcome.errors},
                    {"pictures", pictures},
                    {"seconds", run.outcome.seconds}});
  }
  return runs;
}

// The answer to the question, with the programs that the model writes for it.
Result<void> AnswerWithPython(const RunFlags& flags, const LoadedModel& model,
                              const ReplyOptions& reply_options, PythonLoop& python) {
  const InterruptFlag interrupt;
  TerminalPython terminal(flags.python, flags.as_json, interrupt.flag());
  auto asked = python.Ask(model, MessagesOf(flags), reply_options, terminal, interrupt.flag());
  terminal.End();
  if (!asked.ok()) return asked.error();
  const PythonTurn& turn = *asked;
  if (flags.as_json) {
    json answer = JsonAnswer(model, turn.reply);
    answer["python"] = JsonRuns(turn);
    Print("%s\n", answer.dump(2, ' ', false, json::error_handler_t::replace).c_str());
  }
  if (flags.stats && !flags.as_json) PrintError("%s\n", DescribeSpeed(turn.reply.end).c_str());
  if (terminal.could_not_ask()) {
    return Error{"the program was not run: there is no terminal to ask at, and --yes was not given",
                 ErrorKind::kPermission};
  }
  if (interrupt.flag()->load()) return Error{"interrupted", ErrorKind::kCancelled};
  FACET_TRY(EndOf(turn.reply));
  if (!turn.runs.empty() && !turn.runs.back().outcome.ok() && !turn.refused)
    return Error{Cat("the program failed: ", turn.runs.back().outcome.Why())};
  return Ok();
}

Result<void> AnswerOnce(const RunFlags& flags, const LoadedModel& model,
                        const ReplyOptions& reply_options) {
  const json messages = MessagesOf(flags);
  const InterruptFlag interrupt;
  TerminalView view(flags.as_json);
  if (model.chat_template == nullptr && !model.template_damaged && !flags.system.empty()) {
    PrintError(
        "facet: %s has no chat template: it continues the system prompt and the "
        "question as one text\n",
        model.id.c_str());
  }
  FACET_ASSIGN(const Reply reply, Ask(model, messages, reply_options, view, interrupt.flag()));
  view.End();
  if (flags.as_json) {
    Print("%s\n",
          JsonAnswer(model, reply).dump(2, ' ', false, json::error_handler_t::replace).c_str());
  } else if (!reply.tool_calls.empty()) {
    for (const json& call : reply.tool_calls) {
      Print("%s(%s)\n", call["name"].get<std::string>().c_str(),
            call["arguments"].get<std::string>().c_str());
    }
  }
  if (flags.stats && !flags.as_json) PrintError("%s\n", DescribeSpeed(reply.end).c_str());
  return EndOf(reply);
}

// What stands where a model could is a question for the model that comes with the program, if it
// has blanks, which no name has, and is no path.
void MoveQuestion(RunFlags& flags) {
  const std::string& text = flags.model;
  std::error_code code;
  const bool path_like = text.starts_with('/') || text.starts_with("./") ||
                         text.starts_with("../") || text.starts_with("script:") ||
                         text.ends_with(".gguf") || std::filesystem::exists(text, code);
  if (flags.has_prompt || path_like || text.find_first_of(" \t\n") == text.npos) return;
  flags.prompt = std::exchange(flags.model, "");
  flags.has_prompt = true;
}

// A word that is no model may be a question too: says how to ask it.
Result<ModelSpec> ResolveModelOrQuestion(const RunFlags& flags) {
  auto spec = ResolveSpec(flags.model);
  const bool path = flags.model.find('/') != std::string::npos;
  if (spec.ok() || spec.error().code != kUnknownName || flags.prompt_given || path) return spec;
  Error error = spec.error();
  error.message +=
      Cat("; to ask the model that comes with facet: facet run pebble \"", flags.model, "\"");
  return error;
}

// Whether the template makes anything of the wish to think.
bool CanThink(const LoadedModel& model) {
  if (model.chat_template == nullptr) return false;
  const nlohmann::ordered_json messages =
      nlohmann::ordered_json::array({{{"role", "user"}, {"content", "Hello"}}});
  RenderOptions with, without;
  with.enable_thinking = true;
  without.enable_thinking = false;
  const auto thinking = model.chat_template->Render(messages, nullptr, with);
  const auto plain = model.chat_template->Render(messages, nullptr, without);
  return !thinking.ok() || !plain.ok() || thinking->text != plain->text;
}

// A model with the options of the command line. `named`: it is the model that they were given for,
// so that its adapter and its drafter are meant too.
Result<ChatModel> LoadToAnswer(const RunFlags& flags, ModelSpec spec, bool named) {
  ModelOptions load;
  if (named) FACET_TRY(ApplyDraftFlags(flags.draft, spec, load.engine.draft));
  load.threads = flags.threads;
  load.context = flags.context;
  load.cache_type = CacheTypeOf(flags.cache);
  FACET_ASSIGN(const std::shared_ptr<LoadedModel> model, LoadModel(spec, load));
  if (flags.context > model->config.text.context) {
    return Expected(Cat("at most ", model->config.text.context, " tokens"), flags.context, "--ctx");
  }
  if (named && !flags.adapter.empty()) {
    if (model->model == nullptr) return Error{"--adapter needs a model with weights"};
    FACET_ASSIGN(model->adapter.weights, model->model->LoadAdapter(flags.adapter));
  }
  if (flags.think && !CanThink(*model))
    return Error{Cat("--think: ", model->id, " has no thinking"), ErrorKind::kUnsupported};
  ChatModel out{model, {}};
  FACET_ASSIGN(out.reply, MakeReplyOptions(flags, *model));
  return out;
}

Result<void> AnswerOrChat(RunFlags& flags) {
  if (flags.verbose) {
    flags.stats = true;
    spdlog::set_level(spdlog::level::debug);
  }
  flags.prompt_given = flags.has_prompt;
  MoveQuestion(flags);
  const bool piped = isatty(STDIN_FILENO) == 0;
  if (piped && !flags.has_prompt) {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    flags.prompt = text;
    flags.has_prompt = !text.empty();
  }
  if (!IsUtf8(flags.prompt)) {
    return Error{
        Cat(flags.prompt_given ? "the question" : "standard input", ": expected text in UTF-8")};
  }
  const bool interactive = !flags.has_prompt && (flags.media.empty() || !piped);
  if (interactive && (piped || flags.as_json)) {
    return Error{"there is no prompt: give one as an argument or on standard input"};
  }
  for (const json& part : flags.media) {
    const std::string path = part["path"];
    if (access(path.c_str(), R_OK) != 0)
      return Error{Cat(path, ": cannot be read"), ErrorKind::kNotFound};
  }
  // Before the model is loaded, which may take long: without a sandbox there is no Python.
  std::unique_ptr<PythonLoop> python;
  if (flags.python.on) {
    FACET_ASSIGN(python, MakePythonLoop(flags.python));
  }
  FACET_ASSIGN(const ModelSpec spec, ResolveModelOrQuestion(flags));
  FACET_ASSIGN(ChatModel ready, LoadToAnswer(flags, spec, true));
  if (!interactive && python != nullptr)
    return AnswerWithPython(flags, *ready.model, ready.reply, *python);
  if (!interactive) return AnswerOnce(flags, *ready.model, ready.reply);
  const auto load = [&flags](const std::string& name) -> Result<ChatModel> {
    FACET_ASSIGN(const ModelSpec other, ResolveSpec(name));
    return LoadToAnswer(flags, other, name == flags.model);
  };
  return ChatAtTerminal(std::move(ready), {flags.system, flags.media, flags.stats, load,
                                           ModelNames(), flags.model, python.get(), flags.python});
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

void AddPython(CLI::App& command, PythonFlags& flags) {
  const char* group = "Python (docs/sandbox.md)";
  CLI::Option* on = command.add_flag(
      "--python", flags.on,
      "Run the programs that the model writes, in a sandbox, after asking; pictures that they make "
      "are written here");
  command.add_flag("--yes", flags.yes, "Run them without asking")->needs(on)->group(group);
  command
      .add_option("--python-tries", flags.tries,
                  "Failing programs that go back to the model before it is given up")
      ->check(CLI::Range(1, 20))
      ->capture_default_str()
      ->needs(on)
      ->group(group);
  command
      .add_option("--python-as", flags.notation,
                  "How the model writes programs: call (of a tool), block (fenced), or auto: block "
                  "for very small models")
      ->check(CLI::IsMember({"auto", "call", "block"}))
      ->capture_default_str()
      ->needs(on)
      ->group(group);
  command
      .add_option("--python-folder", flags.folder,
                  "Folder whose files the programs can read, and where what they make is kept")
      ->needs(on)
      ->group(group);
  on->group(group);
}

void AddSampling(CLI::App& command, RunFlags& flags) {
  const char* group = "Sampling (defaults: the checkpoint's)";
  command.add_option("--temperature", flags.temperature, "0 = always the likeliest token")
      ->check(NumberBetween(0, 100))
      ->group(group);
  command.add_option("--top-k", flags.top_k, "Only the K likeliest; 0 = all")->group(group);
  command.add_option("--top-p", flags.top_p, "Only the likeliest that hold this probability")
      ->check(NumberBetween(0, 1))
      ->group(group);
  command.add_option("--min-p", flags.min_p, "Only tokens with this share of the likeliest one's")
      ->check(NumberBetween(0, 1))
      ->group(group);
  command.add_option("--seed", flags.seed, "Same seed, same text")->group(group);
  command.add_option("--repetition-penalty", flags.repetition_penalty, "Above 1: repeat less")
      ->check(NumberBetween(0.001, 1000))
      ->group(group);
  command.add_option("--presence-penalty", flags.presence_penalty, "Per token that was used")
      ->group(group);
  command.add_option("--frequency-penalty", flags.frequency_penalty, "Per use of a token")
      ->group(group);
  // One value each time, so that the prompt may follow.
  command.add_option("--logit-bias", flags.logit_bias, "ID=BIAS, may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  command.add_option("--stop", flags.stop, "End the answer before this text; may be repeated")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

}  // namespace

void AddRun(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command = app.add_subcommand("run", "Ask a model once, or chat with it");
  command->add_option(
      "model", flags->model,
      "A name, a checkpoint folder or a GGUF; none, or a question in its place: the small one "
      "that comes with facet");
  CLI::Option* prompt =
      command->add_option("prompt", flags->prompt, "The question; none: standard input, or a chat");
  // One value each time, so that the prompt may follow; Run reads them back in order.
  auto files = std::make_shared<std::vector<std::string>>();
  for (const char* type : {"image", "audio", "video"}) {
    command
        ->add_option(Cat("--", type), *files,
                     Cat("A file to put before the text: ", type, "; may be repeated"))
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group("Media");
  }
  AddMediaOptions(*command, flags->look);
  command->add_option("--system", flags->system, "System prompt");
  CLI::Option* think = command->add_flag("--think", flags->think, "Let the model think first");
  command->add_flag("--no-think", flags->no_think, "Keep the model from thinking")->excludes(think);
  command
      ->add_option(
          "--max-tokens", flags->max_tokens,
          "Longest answer [what the context leaves, or until it repeats itself without end]")
      ->check(CLI::Range(1, 1 << 24));
  command
      ->add_option("--ctx,--ctx-size,-c", flags->context,
                   "Longest conversation in tokens; 0 = the model's")
      ->check(CLI::Range(0, 1 << 24));
  AddCacheType(*command, "--cache-type", flags->cache);
  command->add_option("--threads,-t", flags->threads, "Threads; 0 = all cores")
      ->check(CLI::Range(0, 1024));
  command->add_option("--adapter", flags->adapter, "Folder of a LoRA adapter (PEFT)");
  command->add_flag("--stats", flags->stats, "Tokens and speeds after each answer");
  command->add_flag("--verbose", flags->verbose, "As --stats --log-level debug");
  command->add_flag("--json", flags->as_json, "The answer as JSON, with usage and timings");
  AddSampling(*command, *flags);
  AddDraftFlags(*command, flags->draft);
  AddPython(*command, flags->python);
  command->footer(
      "Examples:\n"
      "  facet run \"Where is the green circle?\" --image picture.png\n"
      "  facet run gemma4-12b\n"
      "  facet run gemma4-12b \"What is in this picture?\" --image photo.jpg --image-budget 560\n"
      "  facet run ./model.gguf --audio talk.mp3 \"Write down what is said.\"\n"
      "  facet run gemma4-12b --python \"Plot the sine of x.\"\n"
      "  git diff | facet run gemma4-12b --system \"Write a commit message.\"");
  // `files` is what those options write into: it must live as long as the command.
  command->callback([flags, files, command, prompt, &exit_code] {
    flags->has_prompt = prompt->count() > 0;
    flags->media = PartsInOrder(*command);
    exit_code = Report(AnswerOrChat(*flags));
  });
}

}  // namespace facet::cli
