#include "chat/stream_parser.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "formats/json.h"

namespace facet {
namespace {

constexpr std::string_view kChannelOpen = "<|channel>", kChannelClose = "<channel|>";
constexpr std::string_view kCallOpen = "<|tool_call>", kCallClose = "<tool_call|>",
                           kQuote = "<|\"|>";

// Control tokens that Feed recognises in text.
constexpr std::array<std::string_view, 26> kMarkers = {kChannelOpen,
                                                       kChannelClose,
                                                       kCallOpen,
                                                       kCallClose,
                                                       kQuote,
                                                       "<|turn>",
                                                       "<turn|>",
                                                       "<|tool>",
                                                       "<tool|>",
                                                       "<|tool_response>",
                                                       "<tool_response|>",
                                                       "<|think|>",
                                                       "<bos>",
                                                       "<eos>",
                                                       "<pad>",
                                                       "<unk>",
                                                       "<mask>",
                                                       "<|image>",
                                                       "<|image|>",
                                                       "<image|>",
                                                       "<|audio>",
                                                       "<|audio|>",
                                                       "<audio|>",
                                                       "<|video|>",
                                                       "<|video>",
                                                       "<video|>"};

// A quote token inside a call that is read as a whole. No UTF-8 has this byte.
constexpr char kWholeQuote = '\xff';

bool IsBlank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// "(key:" or "({" and the like; what other languages write, "(key=", is no call of this notation.
bool HoldsMembers(std::string_view text) {
  size_t at = 1;
  while (at < text.size() && IsBlank(text[at])) ++at;
  if (at == text.size() || text[at] == '{' || text[at] == ')') return true;
  const size_t end = text.find_first_of(":=,(){}[]", at);
  return end != std::string_view::npos && text[end] == ':';
}

std::string WithQuotes(std::string text) {
  std::replace(text.begin(), text.end(), kWholeQuote, '"');
  return text;
}

}  // namespace

DeclaredTools ToolsOf(const nlohmann::ordered_json& tools) {
  DeclaredTools out;
  if (!tools.is_array()) return out;
  for (const auto& tool : tools) {
    if (!tool.is_object() || !tool.contains("function")) continue;
    const auto& function = tool["function"];
    if (!function.is_object() || !function.contains("name") || !function["name"].is_string())
      continue;
    CallReader::Names& names = out[function["name"].get<std::string>()];
    const auto parameters = function.find("parameters");
    if (parameters == function.end() || !parameters->is_object()) continue;
    const auto properties = parameters->find("properties");
    if (properties == parameters->end() || !properties->is_object()) continue;
    for (const auto& [name, schema] : properties->items()) names.insert(name);
  }
  return out;
}

StreamParser::StreamParser(bool thinking, std::shared_ptr<const DeclaredTools> tools)
    : tools_(std::move(tools)), state_(thinking ? State::kThinking : State::kContent) {}

void StreamParser::Emit(OutputEvent::Kind kind, std::string_view text,
                        std::vector<OutputEvent>& out) {
  const int call = kind >= OutputEvent::Kind::kCallBegin ? calls_ - 1 : 0;
  const bool joins = kind != OutputEvent::Kind::kCallBegin && kind != OutputEvent::Kind::kCallEnd;
  if (joins && text.empty()) return;
  if (joins && !out.empty() && out.back().kind == kind && out.back().call == call) {
    out.back().text += text;
  } else {
    out.push_back({kind, call, std::string(text)});
  }
}

void StreamParser::Feed(std::string_view text, std::vector<OutputEvent>& out) {
  pending_ += text;
  size_t begin = 0;
  while (begin < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(begin);
    const size_t mark = rest.find('<');
    if (mark != 0) {
      const std::string plain(rest.substr(0, mark));
      begin += plain.size();
      Plain(plain, out);
      continue;
    }
    const auto whole =
        std::find_if(kMarkers.begin(), kMarkers.end(), [&](auto m) { return rest.starts_with(m); });
    if (whole != kMarkers.end()) {
      begin += whole->size();
      Control(*whole, out);
      continue;
    }
    if (std::any_of(kMarkers.begin(), kMarkers.end(), [&](auto m) { return m.starts_with(rest); }))
      break;
    const std::string one(rest.substr(0, 1));
    ++begin;
    Plain(one, out);
  }
  pending_.erase(0, begin);
}

void StreamParser::Plain(std::string_view text, std::vector<OutputEvent>& out) {
  if (text.empty()) return;
  switch (state_) {
    case State::kContent:
    case State::kNoCall:
      return Emit(OutputEvent::Kind::kContent, text, out);
    case State::kChannel:
    case State::kThinking:
      return Thinking(text, out);
    case State::kCallHead:
      return CallHead(text, out);
    case State::kArguments:
      arguments_.Text(text);
      return EmitArguments(out);
    case State::kWholeCall:
      whole_ += text;
      return;
  }
}

void StreamParser::Control(std::string_view token, std::vector<OutputEvent>& out) {
  if (in_call()) {
    if (token == kQuote) {
      if (state_ == State::kNoCall) Emit(OutputEvent::Kind::kContent, "\"", out);
      if (state_ == State::kWholeCall) whole_.push_back(kWholeQuote);
      if (state_ == State::kArguments) arguments_.Quote(), EmitArguments(out);
      return;
    }
    const bool ends = token == kCallClose || token == kCallOpen || token == kChannelOpen;
    if (state_ == State::kArguments) {
      if (!ends) return arguments_.Control(token);
      if (!arguments_.Boundary(token)) return;
    }
    if (!ends) return;
    EndCall(out);
  }
  if (token == kCallOpen) {
    LeaveThinking(out);
    state_ = State::kCallHead;
    head_.clear();
  } else if (token == kChannelOpen) {
    LeaveThinking(out);
    state_ = State::kChannel;
    head_.clear();
  } else if (token == kChannelClose) {
    LeaveThinking(out);
  }
}

void StreamParser::Thinking(std::string_view text, std::vector<OutputEvent>& out) {
  std::string all(text);
  if (state_ == State::kChannel) {
    static constexpr std::string_view kName = "thought\n";
    head_ += all;
    if (kName.starts_with(head_) && head_ != kName) return;
    state_ = State::kThinking;
    all = head_.starts_with(kName) ? head_.substr(kName.size()) : head_;
    head_.clear();
  }
  if (all.empty()) return;
  if (newline_) all.insert(0, "\n");
  newline_ = all.back() == '\n';
  if (newline_) all.pop_back();
  Emit(OutputEvent::Kind::kReasoning, all, out);
}

void StreamParser::LeaveThinking(std::vector<OutputEvent>& out) {
  // A channel that was closed within its name: "thought" alone is an empty channel.
  if (state_ == State::kChannel && head_ != "thought")
    Emit(OutputEvent::Kind::kReasoning, head_, out);
  head_.clear();
  newline_ = false;
  state_ = State::kContent;
}

void StreamParser::CallHead(std::string_view text, std::vector<OutputEvent>& out) {
  const size_t bracket = text.find_first_of("{(");
  head_ += text.substr(0, bracket);
  if (bracket == std::string_view::npos) return;
  const std::string_view head = Trim(head_);
  if (text[bracket] == '(' || head.empty() || head == "call:") {
    state_ = State::kWholeCall;
    whole_ = text.substr(bracket);
    return;
  }
  const bool begun = BeginCall(false, out);
  Plain(text.substr(begun ? bracket + 1 : bracket), out);
}

// The head is complete: a call begins, or the text is shown as it is.
bool StreamParser::BeginCall(bool parentheses, std::vector<OutputEvent>& out) {
  std::string_view name = Trim(head_);
  if (name.starts_with("call:")) name = Trim(name.substr(5));
  const bool named =
      !name.empty() && name.size() <= 256 &&
      std::none_of(name.begin(), name.end(), [](unsigned char c) { return c <= ' '; });
  if (!named || !Declared(name)) {
    if (named) Report(std::string(name), 1 << static_cast<int>(CallRepair::kUnknownName));
    state_ = State::kNoCall;
    Emit(OutputEvent::Kind::kContent, head_, out);
    return false;
  }
  ++calls_;
  state_ = State::kArguments;
  name_ = name;
  const CallReader::Names* names = tools_ ? &tools_->find(name)->second : nullptr;
  arguments_ = CallReader(names, parentheses);
  Emit(OutputEvent::Kind::kCallBegin, name, out);
  EmitArguments(out);
  return true;
}

void StreamParser::EmitArguments(std::vector<OutputEvent>& out) {
  Emit(OutputEvent::Kind::kCallArguments, arguments_.TakeJson(), out);
}

void StreamParser::EndArguments(bool complete, std::vector<OutputEvent>& out) {
  EmitArguments(out);
  if (!complete) return;
  Report(name_, arguments_.repairs());
  Emit(OutputEvent::Kind::kCallEnd, "", out);
  ++complete_;
  state_ = State::kContent;
}

void StreamParser::Report(std::string name, CallRepairs repairs) {
  if (repairs.any()) repaired_.push_back({std::move(name), repairs});
}

// A control token ended the call; its arguments have been told.
void StreamParser::EndCall(std::vector<OutputEvent>& out) {
  if (state_ == State::kCallHead && BeginCall(false, out)) arguments_.Finish(false);  // no brackets
  if (state_ == State::kArguments) EndArguments(true, out);
  if (state_ == State::kWholeCall) EndWholeCall(false, out);
  head_.clear();
  state_ = State::kContent;
}

void StreamParser::EndWholeCall(bool cut, std::vector<OutputEvent>& out) {
  if (whole_[0] == '(' && HoldsMembers(whole_)) {
    InParentheses(cut, out);
  } else if (whole_[0] == '(' || !JsonCall(WithQuotes(whole_), out)) {
    Emit(OutputEvent::Kind::kContent, head_ + WithQuotes(whole_), out);
  }
  whole_.clear();
}

void StreamParser::InParentheses(bool cut, std::vector<OutputEvent>& out) {
  if (!BeginCall(true, out)) return Emit(OutputEvent::Kind::kContent, WithQuotes(whole_), out);
  for (const char c : std::string_view(whole_).substr(1))
    c == kWholeQuote ? arguments_.Quote() : arguments_.Text({&c, 1});
  const bool complete = arguments_.Finish(cut);
  EndArguments(complete, out);
  if (complete) Report(name_, 1 << static_cast<int>(CallRepair::kParentheses));
}

// {"name": ..., "arguments": {...}}, as other models write calls.
bool StreamParser::JsonCall(const std::string& text, std::vector<OutputEvent>& out) {
  using Json = nlohmann::ordered_json;
  // What a model writes may nest deeper than anything that prints it could recurse.
  const auto read = [](std::string_view json) {
    auto parsed = ParseJsonAs<Json>(json, {.duplicates = DuplicateKeys::kLastWins});
    return parsed.ok() ? *std::move(parsed) : Json();
  };
  Json call = read(text);
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return false;
  const std::string name = call["name"];
  const char* key = call.contains("arguments") ? "arguments" : "parameters";
  if (name.empty() || !Declared(name) || !call.contains(key)) return false;
  if (call[key].is_string()) call[key] = read(std::string(call[key]));
  if (!call[key].is_object()) return false;
  ++calls_;
  ++complete_;
  Report(name, 1 << static_cast<int>(CallRepair::kJson));
  Emit(OutputEvent::Kind::kCallBegin, name, out);
  Emit(OutputEvent::Kind::kCallArguments,
       call[key].dump(-1, ' ', false, Json::error_handler_t::replace), out);
  Emit(OutputEvent::Kind::kCallEnd, "", out);
  return true;
}

void StreamParser::Finish(std::vector<OutputEvent>& out, bool cut) {
  const std::string rest = std::move(pending_);
  pending_.clear();
  Plain(rest, out);
  if (state_ == State::kChannel && head_ != "thought")
    Emit(OutputEvent::Kind::kReasoning, head_, out);
  if (newline_) Emit(OutputEvent::Kind::kReasoning, "\n", out);
  newline_ = false;
  if (state_ == State::kArguments) {
    const bool complete = arguments_.Finish(cut);
    EndArguments(complete, out);
  } else if (state_ == State::kWholeCall) {
    EndWholeCall(cut, out);
    if (!cut) state_ = State::kContent;
  } else if (state_ == State::kCallHead && !cut) {
    EndCall(out);
  }
}

}  // namespace facet
