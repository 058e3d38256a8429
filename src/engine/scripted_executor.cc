#include "engine/scripted_executor.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <sstream>
#include <thread>

#include "base/mapped_file.h"
#include "formats/json.h"

namespace facet {
namespace {

// Logits of the scripted token and of the end of the turn; others are 0.
constexpr float kChosen = 60, kRunnerUp = 30;
constexpr int kMaxDelay = 600'000;
constexpr int kWidth = 64;

// libstdc++'s default way of matching recurses for each character of a prompt.
#ifdef __GLIBCXX__
constexpr auto kMatchSyntax = std::regex::extended | std::regex_constants::__polynomial;
#else
constexpr auto kMatchSyntax = std::regex::extended;
#endif

struct Line {
  std::optional<std::regex> match;  // none: always
  std::vector<TokenId> emit;
  int delay_ms = 0, prefill_ms = 0;

  bool Matches(const std::string& prompt) const {
    return !match || std::regex_search(prompt, *match);
  }
};

class ScriptedState : public SequenceState {
 public:
  using SequenceState::SequenceState;
  std::unique_ptr<SequenceState> Copy() const override {
    return SharePages(std::make_unique<ScriptedState>(pages.pool()));
  }

  // The generation that plays on this state.
  const Line* line = nullptr;
  int prompt = 0, cached = 0;
};

class ScriptedExecutor : public Executor {
 public:
  ScriptedExecutor(std::vector<Line> lines, std::shared_ptr<const Tokenizer> tokenizer,
                   const ScriptOptions& options)
      : lines_(std::move(lines)),
        tokenizer_(std::move(tokenizer)),
        options_(options),
        pool_(ScriptLayout(options.window), options.cache_budget) {
    options_.context = pool_.layout().TokensIn(pool_.budget(), options_.context);
    end_ = tokenizer_->Find("<turn|>").value_or(tokenizer_->eos().value_or(1));
  }

  int context() const override { return options_.context; }
  int vocab() const override { return static_cast<int>(tokenizer_->size()); }
  int width() const override { return kWidth; }
  std::string identity() const override { return Cat("script-", options_.window); }
  std::unique_ptr<SequenceState> Create() override {
    return std::make_unique<ScriptedState>(pool_);
  }
  void Begin(SequenceState& state, std::span<const TokenId> prompt) override {
    auto& s = static_cast<ScriptedState&>(state);
    s.prompt = static_cast<int>(prompt.size());
    s.cached = s.length();
    s.line = nullptr;
    const std::string text = tokenizer_->Decode(prompt);
    for (const Line& line : lines_) {
      if (!line.Matches(text)) continue;
      s.line = &line;
      return;
    }
  }

  Result<void> Step(std::span<const Piece> pieces, Buffer& logits) override {
    int64_t outputs = 0;
    double wait_ms = 0;
    for (const Piece& piece : pieces) {
      auto& state = static_cast<ScriptedState&>(*piece.state);
      FACET_TRY(state.pages.Reserve(static_cast<int>(piece.tokens.size())));
      outputs += piece.outputs;
      wait_ms = std::max(wait_ms, Delay(piece));
    }
    for (const Piece& piece : pieces) AddStates(piece);
    if (wait_ms > 0)
      std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(wait_ms));
    logits.Resize(outputs, vocab());
    int64_t row = 0;
    for (const Piece& piece : pieces) {
      const int rows = static_cast<int>(piece.tokens.size());
      for (int taken = rows - piece.outputs + 1; taken <= rows; ++taken) {
        const std::span<float> out = logits.view().row_span(row++);
        std::fill(out.begin(), out.end(), 0.0f);
        out[end_] = kRunnerUp;
        out[Next(piece, taken)] = kChosen;
      }
    }
    return Ok();
  }

  size_t cache_bytes() const override { return pool_.bytes_in_use(); }
  size_t cache_budget() const override { return pool_.budget(); }

 private:
  // The state of a token is a unit vector of its id.
  static void AddStates(const Piece& piece) {
    if (piece.sum == nullptr) return;
    piece.sum->resize(kWidth);
    for (const TokenId id : piece.tokens) (*piece.sum)[id % kWidth] += 1;
  }
  static double Delay(const Piece& piece) {
    const auto& s = static_cast<const ScriptedState&>(*piece.state);
    if (s.line == nullptr) return 0;
    const int rows = static_cast<int>(piece.tokens.size());
    const bool prefill = s.length() < s.prompt;
    double wait = piece.outputs > 0 ? s.line->delay_ms : 0;
    if (prefill)
      wait += static_cast<double>(s.line->prefill_ms) * rows / std::max(1, s.prompt - s.cached);
    return wait;
  }
  // The token after the piece's first `taken` ones.
  TokenId Next(const Piece& piece, int taken) const {
    const auto& s = static_cast<const ScriptedState&>(*piece.state);
    const int played = s.length() + taken - s.prompt;
    if (s.line == nullptr || played < 0 || played >= static_cast<int>(s.line->emit.size()))
      return end_;
    return s.line->emit[played];
  }

  std::vector<Line> lines_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  ScriptOptions options_;
  KvPool pool_;
  TokenId end_;
};

Result<int> Milliseconds(const nlohmann::json& object, const char* key) {
  if (!object.contains(key)) return 0;
  const nlohmann::json& value = object[key];
  if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > kMaxDelay) {
    return Expected(Cat("an integer from 0 to ", kMaxDelay), value.dump(), key);
  }
  return value.get<int>();
}

Result<Line> ParseLine(const std::string& text, const Tokenizer& tokenizer) {
  const auto parsed = ParseJsonAs<nlohmann::json>(text);
  const auto object = parsed.ok() ? *parsed : nlohmann::json();
  if (!object.is_object()) return Error{"expected a JSON object"};
  for (const auto& [key, value] : object.items()) {
    if (key != "match" && key != "emit" && key != "delay_ms" && key != "prefill_ms") {
      return Error{Cat("unknown key '", key, "'")};
    }
  }
  if (!object.contains("emit") || !object["emit"].is_string())
    return Error{"'emit' must be a string"};
  Line line;
  line.emit = tokenizer.Encode(object["emit"].get<std::string>());
  FACET_ASSIGN(line.delay_ms, Milliseconds(object, "delay_ms"));
  FACET_ASSIGN(line.prefill_ms, Milliseconds(object, "prefill_ms"));
  if (object.contains("match")) {
    if (!object["match"].is_string()) return Error{"'match' must be a string"};
    try {
      line.match.emplace(object["match"].get<std::string>(), kMatchSyntax);
    } catch (const std::regex_error& error) {
      return Error{Cat("'match': ", error.what())};
    }
  }
  return line;
}

}  // namespace

CacheLayout ScriptLayout(int window) {
  TextConfig config;
  config.window = window;
  config.layers = {{.sliding = true, .heads = 1, .kv_heads = 1, .head_dim = 8},
                   {.sliding = false, .heads = 1, .kv_heads = 1, .head_dim = 8}};
  return CacheLayout::Create(config, CacheType::kF32, false);
}

Result<std::unique_ptr<Executor>> LoadScript(const std::filesystem::path& path,
                                             std::shared_ptr<const Tokenizer> tokenizer,
                                             const ScriptOptions& options) {
  FACET_ASSIGN(const std::string text, ReadFile(path));
  std::vector<Line> lines;
  std::istringstream stream(text);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    auto parsed = ParseLine(line, *tokenizer);
    if (!parsed) return parsed.error().In(Cat(path.string(), ":", number));
    lines.push_back(std::move(*parsed));
  }
  if (lines.empty()) return Error{Cat(path.string(), ": no line to play")};
  return std::unique_ptr<Executor>(
      new ScriptedExecutor(std::move(lines), std::move(tokenizer), options));
}

}  // namespace facet
