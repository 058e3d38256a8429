#include "runtime/python_loop.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "base/text.h"

namespace facet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kToolName = "python";
// Narrower models (pebble) answer a question less well when a tool is declared that they have not
// been trained with.
constexpr int kToolWidth = 1024;
constexpr size_t kMostShown = 4;   // pictures of one run that the model sees
constexpr size_t kMostRounds = 8;  // programs for one question

// What the model asks for: a call's or a block's program.
struct WantedProgram {
  std::string source;
  bool called = false;
};

std::optional<WantedProgram> WantedBy(const Reply& reply) {
  for (const json& call : reply.tool_calls) {
    if (call.value("name", "") != kToolName) continue;
    if (auto program = CalledProgram(call.value("arguments", "")))
      return WantedProgram{std::move(*program), true};
  }
  if (!reply.tool_calls.empty()) return std::nullopt;
  if (auto program = FencedProgram(reply.content)) return WantedProgram{std::move(*program), false};
  return std::nullopt;
}

std::string PictureList(const sandbox::Outcome& outcome) {
  std::string names;
  for (const sandbox::MadePicture& picture : outcome.pictures)
    names +=
        Cat(names.empty() ? "" : ", ", picture.name, " (", picture.width, "x", picture.height, ")");
  return names;
}

std::string FileList(const sandbox::Outcome& outcome) {
  std::string names;
  for (const sandbox::MadeFile& file : outcome.files)
    names += (names.empty() ? "" : ", ") + file.name;
  return names;
}

// What the model reads of a run.
std::string DescribeRunForModel(const PythonRun& run) {
  const sandbox::Outcome& outcome = run.outcome;
  std::string text(Trim(outcome.output));
  const auto add = [&](const std::string& line) {
    if (!line.empty()) text += (text.empty() ? "" : "\n") + line;
  };
  add(std::string(Trim(outcome.errors)));
  if (!outcome.ok() && outcome.end != sandbox::Outcome::End::kFailed) add(outcome.Why());
  if (const std::string names = PictureList(outcome); outcome.ok() && !names.empty())
    add("Shown to the person: " + names);
  if (const std::string names = FileList(outcome); outcome.ok() && !names.empty())
    add("Files made: " + names);
  for (const std::string& name : outcome.left_out) add("Not kept: " + name);
  return text.empty() ? "The program ended and printed nothing." : text;
}

json AssistantMessage(const Reply& reply, size_t number) {
  json message = {{"role", "assistant"}, {"content", reply.content}};
  if (reply.tool_calls.empty()) return message;
  message["tool_calls"] = json::array();
  for (size_t i = 0; i < reply.tool_calls.size(); ++i) {
    const json& call = reply.tool_calls[i];
    message["tool_calls"].push_back(
        {{"id", Cat("call_", number, "_", i)},
         {"type", "function"},
         {"function", {{"name", call["name"]}, {"arguments", call["arguments"]}}}});
  }
  return message;
}

// Every call gets its result: `content` that of the first call of the tool.
void AddResults(json& messages, const json& content) {
  const json calls = messages.back().value("tool_calls", json::array());
  bool told = false;
  for (const json& call : calls) {
    const std::string name = call["function"]["name"];
    const bool first = name == kToolName && !told;
    told = told || first;
    json result = {{"role", "tool"}, {"tool_call_id", call["id"]}, {"name", name}};
    if (first) {
      result["content"] = content;
    } else {
      result["content"] =
          name == kToolName ? "Not run: one program at a time." : "There is no such tool.";
    }
    messages.push_back(std::move(result));
  }
}

std::string FilesOf(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    if (entry.is_regular_file(code) && names.size() < 50)
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::optional<std::string> FencedProgram(std::string_view answer) {
  std::optional<std::string> found, open;
  bool ours = false;
  while (!answer.empty()) {
    const std::string_view line = answer.substr(0, answer.find('\n'));
    answer.remove_prefix(std::min(answer.size(), line.size() + 1));
    const std::string_view plain = Trim(line);
    if (open && plain == "```") {
      if (ours) found = std::move(open);
      open.reset();
    } else if (open) {
      *open += std::string(line) + "\n";
    } else if (plain.starts_with("```")) {
      const std::string language = ToLower(Trim(plain.substr(3)));
      ours = language == "python" || language == "py" || language == "python3";
      open = "";
    }
  }
  return found;
}

std::optional<std::string> CalledProgram(const std::string& arguments) {
  const json given = json::parse(arguments, nullptr, false);
  if (!given.is_object()) return std::nullopt;
  if (const auto code = given.find("code"); code != given.end() && code->is_string())
    return code->get<std::string>();
  if (given.size() == 1 && given.front().is_string()) return given.front().get<std::string>();
  return std::nullopt;
}

PythonLoop::PythonLoop(sandbox::Sandbox sandbox, PythonOptions options)
    : sandbox_(std::move(sandbox)), options_(std::move(options)) {
  folder_ = options_.folder.empty() ? scratch_.path() / "files" : options_.folder;
  std::error_code code;
  fs::create_directories(folder_, code);
}

sandbox::Job PythonLoop::NextJob() const {
  sandbox::Job job;
  job.limits = options_.limits;
  job.folder = folder_;
  // What most programs begin with, and what they need to draw.
  for (const char* name : {"numpy", "matplotlib", "pandas"}) {
    if (!sandbox_.python().packages.contains(name)) continue;
    job.prepare.push_back(std::string(name) == "matplotlib" ? "matplotlib.pyplot" : name);
  }
  return job;
}

json PythonLoop::Tools(const LoadedModel& model) const {
  const bool small = model.model != nullptr && model.config.text.width < kToolWidth;
  const bool blocks = options_.notation == PythonNotation::kBlock ||
                      (options_.notation == PythonNotation::kAuto && small);
  if (blocks) return nullptr;
  const std::string files = FilesOf(folder_);
  const std::string description =
      Cat("Runs a whole program with ", sandbox_.python().Describe(),
          ", without network, for at most ", options_.limits.seconds,
          " seconds, and returns what it prints. Figures of matplotlib are shown to the person.",
          files.empty() ? "" : " Files in its current folder: " + files);
  const json code = {{"type", "string"}, {"description", "The program"}};
  const json parameters = {
      {"type", "object"}, {"properties", {{"code", code}}}, {"required", json::array({"code"})}};
  const json function = {
      {"name", kToolName}, {"description", description}, {"parameters", parameters}};
  return json::array({{{"type", "function"}, {"function", function}}});
}

// The text, and for a model that sees the pictures behind it.
json PythonLoop::ResultContent(const LoadedModel& model, const std::string& text,
                               const sandbox::Outcome& outcome) {
  if (!outcome.ok() || outcome.pictures.empty() || !model.config.vision) return text;
  json parts = json::array({{{"type", "text"}, {"text", text}}});
  for (const sandbox::MadePicture& picture : outcome.pictures) {
    if (parts.size() > kMostShown) break;
    // Of its own name: a later program may write another picture under the same one.
    const fs::path file = scratch_.path() / Cat("shown-", ++shown_, ".png");
    if (WriteFile(file, picture.png).ok())
      parts.push_back({{"type", "image"}, {"path", file.string()}});
  }
  return parts;
}

Result<PythonRun> PythonLoop::RunProgram(const std::string& program,
                                         const std::atomic<bool>* cancel) {
  if (prepared_ == nullptr) prepared_ = sandbox_.Prepare(NextJob());
  const auto prepared = std::move(prepared_);
  FACET_ASSIGN(sandbox::Outcome outcome, prepared->Run({.source = program}, cancel));
  // A program that failed leaves nothing, so that the next attempt begins where it did.
  if (outcome.ok()) FACET_TRY(sandbox::KeepFiles(folder_, outcome));
  return PythonRun{program, std::move(outcome)};
}

Result<PythonTurn> PythonLoop::Ask(const LoadedModel& model, json messages, ReplyOptions options,
                                   PythonHost& host, const std::atomic<bool>* cancel) {
  if (model.chat_template == nullptr)
    return Error{"Python needs a model with a chat template", ErrorKind::kUnsupported};
  PythonTurn turn;
  turn.messages = std::move(messages);
  int failures = 0;
  while (true) {
    if (prepared_ == nullptr) prepared_ = sandbox_.Prepare(NextJob());
    options.tools = Tools(model);
    FACET_ASSIGN(turn.reply, facet::Ask(model, turn.messages, options, host, cancel));
    turn.messages.push_back(AssistantMessage(turn.reply, turn.messages.size()));
    const bool whole = turn.reply.end.reason == AnswerEnd::Reason::kStop ||
                       turn.reply.end.reason == AnswerEnd::Reason::kToolCalls;
    const auto wanted = whole ? WantedBy(turn.reply) : std::nullopt;
    if (!wanted || turn.refused || turn.runs.size() == kMostRounds) return turn;
    std::string told;
    json content;
    if (!host.Allow(wanted->source, !wanted->called, failures + 1)) {
      turn.refused = true;
      content = told = "Not run: the person did not allow it.";
      if (!wanted->called) return turn;
    } else {
      FACET_ASSIGN(PythonRun run, RunProgram(wanted->source, cancel));
      if (!run.outcome.ok()) ++failures;
      host.OnRun(run, failures);
      told = DescribeRunForModel(run);
      content = ResultContent(model, told, run.outcome);
      const bool ok = run.outcome.ok();
      const bool stopped = run.outcome.end == sandbox::Outcome::End::kCancelled;
      turn.runs.push_back(std::move(run));
      if (!wanted->called && ok) {
        turn.note = "[The program printed:\n" + told + "]";
        return turn;
      }
      if (stopped || failures >= options_.tries) {
        turn.note = "[The program failed:\n" + told + "]";
        if (wanted->called) AddResults(turn.messages, content);
        return turn;
      }
    }
    if (wanted->called) {
      AddResults(turn.messages, content);
    } else {
      turn.messages.push_back({{"role", "user"},
                               {"content", "The program failed:\n" + told +
                                               "\nWrite the whole program again, corrected."}});
    }
  }
}

}  // namespace facet
