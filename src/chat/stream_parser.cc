#include "chat/stream_parser.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.h"

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

constexpr size_t kMaxDepth = 128;

void Escape(char c, std::string& json) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
      json += "\\\"";
      return;
    case '\\':
      json += "\\\\";
      return;
    case '\n':
      json += "\\n";
      return;
    case '\t':
      json += "\\t";
      return;
    case '\r':
      json += "\\r";
      return;
    default:
      break;
  }
  const auto u = static_cast<unsigned char>(c);
  if (u < 0x20) {
    json.append("\\u00").append({kHex[u >> 4], kHex[u & 15]});
  } else {
    json.push_back(c);
  }
}

std::string QuoteJson(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) Escape(c, json);
  return json + "\"";
}

bool IsJsonNumber(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i]))) ++i;
    return i > begin;
  };
  if (i < text.size() && text[i] == '-') ++i;
  const size_t integer = i;
  if (!digits() || (text[integer] == '0' && i > integer + 1)) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

std::string Scalar(std::string_view bare) {
  const std::string_view text = Trim(bare);
  if (text == "true" || text == "false" || text == "null" || IsJsonNumber(text))
    return std::string(text);
  return QuoteJson(text);
}

}  // namespace

// --- arguments

void ArgumentsWriter::Text(std::string_view text, std::string& json) {
  for (const char c : text) {
    if (levels_.empty()) return;
    string_ != String::kNone ? StringChar(c, json) : Char(c, json);
  }
}

void ArgumentsWriter::Quote(std::string& json) {
  if (levels_.empty()) return;
  if (string_ == String::kJson) {  // a character of that string, as far as JSON is concerned
    if (escaped_ || !unicode_.empty()) StringChar(' ', json);
    const bool key = levels_.back().expect == Expect::kKey;
    for (const char c : kQuote) key ? bare_.push_back(c) : Escape(c, json);
    return;
  }
  Level& level = levels_.back();
  if (string_ == String::kMarked) {
    string_ = String::kNone;
    if (level.expect == Expect::kKey) return;  // the key ends at its colon
    json.push_back('"');
    level.expect = Expect::kNext;
    return;
  }
  string_ = String::kMarked;
  if (level.expect == Expect::kKey) {
    key_quoted_ = true;
    bare_.clear();
    return;
  }
  if (level.expect == Expect::kValue) {
    if (!Trim(bare_).empty()) EndBare(json);
    bare_.clear();
  }
  if (level.expect == Expect::kNext) {  // a missing comma between values
    if (level.close == '}') {
      level.expect = Expect::kKey;
      key_quoted_ = true;
      return;
    }
    level.expect = Expect::kValue;
  }
  BeginValue(json);
  json.push_back('"');
}

void ArgumentsWriter::StringChar(char c, std::string& json) {
  const bool key = levels_.back().expect == Expect::kKey;
  if (string_ == String::kMarked) {
    key ? bare_.push_back(c) : Escape(c, json);
    return;
  }
  std::string& target = key ? bare_ : json;
  if (!unicode_.empty()) {  // "u" and its digits so far
    if (std::isxdigit(static_cast<unsigned char>(c))) {
      unicode_.push_back(c);
      if (unicode_.size() < 5) return;
      target.append("\\").append(unicode_);
      unicode_.clear();
      return;
    }
    target.append("\\\\").append(unicode_);
    unicode_.clear();
  }
  if (escaped_) {
    escaped_ = false;
    static constexpr std::string_view kEscapes = "\"\\/bfnrt";
    if (c == 'u') {
      unicode_ = "u";
    } else if (key) {
      bare_.push_back(c);
    } else if (kEscapes.find(c) != std::string_view::npos) {
      json.append({'\\', c});
    } else {  // no escape of JSON: the backslash is meant
      json.append("\\\\");
      Escape(c, json);
    }
    return;
  }
  if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    string_ = String::kNone;
    if (key) return;
    json.push_back('"');
    levels_.back().expect = Expect::kNext;
  } else {
    key ? bare_.push_back(c) : Escape(c, json);
  }
}

void ArgumentsWriter::Char(char c, std::string& json) {
  Level& level = levels_.back();
  const bool blank = Trim(bare_).empty();
  switch (level.expect) {
    case Expect::kKey:
      if (c == ':') return EndKey(json);
      if (c == '"' && blank && !key_quoted_) {
        key_quoted_ = true;
        bare_.clear();
        string_ = String::kJson;
      } else if (c == ',' || c == '}' || c == ']') {
        if (!blank || key_quoted_) {
          EndKey(json);
          EndBare(json);
        }
        level.expect = Expect::kKey;
        if (c != ',') Pop(c, json);
      } else if (!key_quoted_) {
        bare_.push_back(c);
      }
      return;
    case Expect::kValue:
      if (blank && (c == '{' || c == '[')) return Open(c == '{' ? '}' : ']', json);
      if (blank && c == '"') {
        BeginValue(json);
        json.push_back('"');
        string_ = String::kJson;
      } else if (c == ',' || c == '}' || c == ']') {
        EndBare(json);
        if (c == ',') {
          level.expect = level.close == '}' ? Expect::kKey : Expect::kValue;
        } else {
          Pop(c, json);
        }
      } else {
        bare_.push_back(c);
      }
      return;
    case Expect::kNext:
      if (c == ',') level.expect = level.close == '}' ? Expect::kKey : Expect::kValue;
      if (c == '}' || c == ']') Pop(c, json);
      return;
  }
}

void ArgumentsWriter::Open(char close, std::string& json) {
  bare_.clear();
  BeginValue(json);
  if (levels_.size() >=
      kMaxDepth) {  // deeper than any schema: the value is dropped, the JSON stays whole
    json += "null";
    levels_.back().expect = Expect::kNext;
    return;
  }
  json.push_back(close == '}' ? '{' : '[');
  levels_.back().expect = Expect::kNext;
  levels_.push_back({close, close == '}' ? Expect::kKey : Expect::kValue});
}

// The comma in front of a list's element; members have theirs in front of the key.
void ArgumentsWriter::BeginValue(std::string& json) {
  Level& level = levels_.back();
  if (level.close == ']' && !level.first) json.push_back(',');
  if (level.close == ']') level.first = false;
}

void ArgumentsWriter::EndBare(std::string& json) {
  Level& level = levels_.back();
  if (level.expect != Expect::kValue) return;
  const bool blank = Trim(bare_).empty();
  if (blank && level.close == ']') {
    bare_.clear();
    return;
  }
  BeginValue(json);
  json += blank ? "null" : Scalar(bare_);
  bare_.clear();
  level.expect = Expect::kNext;
}

void ArgumentsWriter::EndKey(std::string& json) {
  Level& level = levels_.back();
  if (!level.first) json.push_back(',');
  level.first = false;
  json += QuoteJson(key_quoted_ ? std::string_view(bare_) : Trim(bare_)) + ":";
  bare_.clear();
  key_quoted_ = false;
  level.expect = Expect::kValue;
}

void ArgumentsWriter::Pop(char close, std::string& json) {
  const bool open =
      std::any_of(levels_.begin(), levels_.end(), [&](const Level& l) { return l.close == close; });
  if (!open) return;
  for (bool found = false; !found;) {
    found = levels_.back().close == close;
    json.push_back(levels_.back().close);
    levels_.pop_back();
  }
}

void ArgumentsWriter::Close(std::string& json) {
  if (levels_.empty()) return;
  if (string_ == String::kJson) {
    if (escaped_) json += "\\\\";
    if (!unicode_.empty() && levels_.back().expect != Expect::kKey)
      json.append("\\\\").append(unicode_);
    if (levels_.back().expect != Expect::kKey) {
      json.push_back('"');
      levels_.back().expect = Expect::kNext;
    }
    string_ = String::kNone;
  }
  while (!levels_.empty()) Char(levels_.back().close, json);
}

// --- stream

StreamParser::StreamParser(bool thinking) : state_(thinking ? State::kThinking : State::kContent) {}

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
    case State::kBrokenCall:
      return Emit(OutputEvent::Kind::kContent, text, out);
    case State::kChannel:
    case State::kThinking:
      return Thinking(text, out);
    case State::kCallHead:
      return CallHead(text, out);
    case State::kArguments:
      return Arguments(text, out);
    case State::kCallTail:
      return;
  }
}

void StreamParser::Control(std::string_view token, std::vector<OutputEvent>& out) {
  if (state_ == State::kArguments && token == kQuote) {
    std::string json;
    arguments_.Quote(json);
    return Emit(OutputEvent::Kind::kCallArguments, json, out);
  }
  if (state_ == State::kArguments && arguments_.in_quotes()) return Arguments(token, out);
  if (in_call()) {
    if (token != kCallClose && token != kCallOpen && token != kChannelOpen) return;
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
  const size_t brace = text.find('{');
  head_ += text.substr(0, brace);
  if (brace == std::string_view::npos) return;
  BeginArguments(out);
  Plain(state_ == State::kBrokenCall ? text.substr(brace) : text.substr(brace + 1), out);
}

// The head is complete: a call begins, or the text is shown as it is.
void StreamParser::BeginArguments(std::vector<OutputEvent>& out) {
  std::string_view name = Trim(head_);
  if (name.starts_with("call:")) name = Trim(name.substr(5));
  const bool valid =
      !name.empty() && name.size() <= 256 &&
      std::none_of(name.begin(), name.end(), [](unsigned char c) { return c <= ' '; });
  if (!valid) {
    state_ = State::kBrokenCall;
    Emit(OutputEvent::Kind::kContent, head_, out);
    return;
  }
  ++calls_;
  state_ = State::kArguments;
  arguments_ = ArgumentsWriter();
  Emit(OutputEvent::Kind::kCallBegin, name, out);
  Emit(OutputEvent::Kind::kCallArguments, "{", out);
}

void StreamParser::Arguments(std::string_view text, std::vector<OutputEvent>& out) {
  std::string json;
  arguments_.Text(text, json);
  Emit(OutputEvent::Kind::kCallArguments, json, out);
  if (arguments_.done()) state_ = State::kCallTail;
}

void StreamParser::EndCall(std::vector<OutputEvent>& out) {
  if (state_ == State::kCallHead) BeginArguments(out);  // a call without braces
  if (state_ == State::kArguments) {
    std::string json;
    arguments_.Close(json);
    Emit(OutputEvent::Kind::kCallArguments, json, out);
    state_ = State::kCallTail;
  }
  if (state_ == State::kCallTail) {
    Emit(OutputEvent::Kind::kCallEnd, "", out);
    ++complete_;
  }
  head_.clear();
  state_ = State::kContent;
}

void StreamParser::Finish(std::vector<OutputEvent>& out) {
  const std::string rest = std::move(pending_);
  pending_.clear();
  Plain(rest, out);
  if (state_ == State::kChannel && head_ != "thought")
    Emit(OutputEvent::Kind::kReasoning, head_, out);
  if (newline_) Emit(OutputEvent::Kind::kReasoning, "\n", out);
  newline_ = false;
  if (state_ == State::kCallTail) EndCall(out);
}

}  // namespace facet
