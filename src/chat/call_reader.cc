#include "chat/call_reader.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/text.h"
#include "base/utf8.h"

namespace facet {
namespace {

constexpr size_t kMaxDepth = 128;

// What deviations cost: a slip is ten, and readings that need a second one give way to those that
// need one.
constexpr int kSlip = 10;
constexpr int kMargin = 19;  // above the best reading: given up
constexpr size_t kMostReadings = 24;
constexpr int kMostUnsettled = 20000;  // symbols; then the best reading is taken

constexpr int kMissingComma = 8, kAfterBlank = 12;
constexpr int kMissingColon = 12;
constexpr int kMissingValue = 25;
constexpr int kUnclosedLevel = 5;
constexpr int kDoubledBrace = 8;
constexpr int kStyle = 5;
// Quote tokens inside a text come in pairs mostly.
constexpr int kInnerOpen = 7, kInnerClose = 3, kInnerOdd = 8;
// Behind such a token: what looks like the text's end, and like the next member.
constexpr int kLooksEnded = 6, kLooksLikeMember = 8;
constexpr int kTokenInText = 15;
// A text without its opening quote token: one that begins or goes on like something else.
constexpr int kOddStart = 2, kHoldsMember = 5;
constexpr int kStrayQuote = 14;
constexpr int kUndeclaredName = 12, kOddKey = 9;

constexpr const char* kRepairNames[] = {"missing_opening_quote",
                                        "missing_closing_quote",
                                        "quote_inside_string",
                                        "comma",
                                        "colon",
                                        "brackets",
                                        "parentheses",
                                        "single_quotes",
                                        "json",
                                        "python_constants",
                                        "open_at_end",
                                        "unknown_name"};
static_assert(std::size(kRepairNames) == static_cast<size_t>(CallRepair::kCount));

bool IsBlank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
bool IsWord(char c) {
  const auto u = static_cast<unsigned char>(c);
  return std::isalnum(u) || c == '_' || c == '-' || c == '$' || c == '.' || u >= 0x80;
}

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

void Escape(std::string_view text, std::string& json) {
  for (const char c : text) Escape(c, json);
}

std::string QuoteJson(std::string_view text) {
  std::string json = "\"";
  Escape(text, json);
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

// The notation's constants, and Python's.
constexpr std::pair<std::string_view, std::string_view> kConstants[] = {
    {"true", "true"}, {"false", "false"}, {"null", "null"},
    {"True", "true"}, {"False", "false"}, {"None", "null"}};

// The JSON of a bare number or constant; empty where it is neither.
std::string_view ScalarOf(std::string_view text) {
  for (const auto& [name, json] : kConstants) {
    if (text == name) return json;
  }
  return IsJsonNumber(text) ? text : std::string_view{};
}

// More characters may still make it one.
bool MayBecomeScalar(std::string_view text) {
  for (const auto& [name, json] : kConstants) {
    if (name.starts_with(text)) return true;
  }
  return text.find_first_of("eE") != 0 &&
         text.find_first_not_of("+-.eE0123456789") == std::string_view::npos;
}

constexpr char32_t kNoCharacter = 0xFFFD;

uint32_t HexCode(std::string_view escape, size_t at) {
  uint32_t code = 0;
  for (size_t i = at; i < at + 4; ++i)
    code = code << 4 | static_cast<uint32_t>(HexDigit(escape[i]));
  return code;
}

// A double quote behind this much of an escape is none of its characters.
bool EndsJsonText(std::string_view escape) {
  return escape.empty() || escape.size() > 2;
}

// Without the beginning of a character at the end.
size_t WholeCharacters(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto u = static_cast<unsigned char>(text[text.size() - back]);
    if (u < 0x80) break;
    if (u < 0xC0) continue;
    const size_t length = u >= 0xF0 ? 4 : u >= 0xE0 ? 3 : 2;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace

std::string_view CallRepairName(CallRepair repair) {
  return kRepairNames[static_cast<size_t>(repair)];
}

CallReader::CallReader(const Names* names, bool parentheses)
    : names_(names), parentheses_(parentheses), ready_("{") {
  Reading first;
  first.levels.push_back({parentheses ? ')' : '}'});
  readings_.push_back(std::move(first));
}

// --- what comes in

void CallReader::Text(std::string_view text) {
  if (taken_ || text.empty()) return;
  ended_.reset();
  for (const char c : text) {
    Reading& only = readings_.front();
    if (readings_.size() == 1 && only.mode == Mode::kMarked && only.behind == Behind::kNothing &&
        c != ',' && !IsCloser(c)) {
      Escape(c, only.json);
      only.blank = IsBlank(c);
      continue;
    }
    for (Reading& r : readings_) Advance(r, c);
    Settle();
  }
}

void CallReader::Quote() {
  if (taken_) return;
  ended_.reset();
  for (Reading& r : readings_) AdvanceQuote(r);
  Settle();
}

void CallReader::Control(std::string_view token) {
  if (taken_) return;
  ended_.reset();
  for (Reading& r : readings_) {
    if (r.in_text()) Escape(token, r.json);
    if (r.mode == Mode::kMarkedKey) r.text += token;
  }
}

bool CallReader::Boundary(std::string_view token) {
  if (taken_) return true;
  if (ended_) {
    Take(*std::exchange(ended_, std::nullopt));
    return true;
  }
  std::optional<Reading> best;
  std::vector<Reading> texts;
  int cheapest_text = 0;
  for (Reading& r : readings_) {
    Reading end = r;
    FinishReading(end, false);
    if (!best || end.cost < best->cost) best = std::move(end);
    if (!r.in_text()) continue;
    r.cost += kTokenInText;
    Escape(token, r.json);
    cheapest_text = texts.empty() ? r.cost : std::min(cheapest_text, r.cost);
    texts.push_back(std::move(r));
  }
  if (texts.empty() || best->cost < cheapest_text) {
    Take(*std::move(best));
    return true;
  }
  readings_ = std::move(texts);
  ended_ = std::move(best);
  Settle();
  return false;
}

bool CallReader::Finish(bool cut) {
  if (taken_) return true;
  if (ended_) {
    Take(*std::exchange(ended_, std::nullopt));
    return true;
  }
  if (!cut) {
    for (Reading& r : readings_) {
      const bool open = r.mode != Mode::kDone;
      FinishReading(r, false);
      if (open) r.repairs.set(static_cast<size_t>(CallRepair::kOpenEnd));
    }
  }
  const auto best =
      std::min_element(readings_.begin(), readings_.end(),
                       [](const Reading& a, const Reading& b) { return a.cost < b.cost; });
  const bool complete = best->mode == Mode::kDone;
  FinishReading(*best, cut);
  Take(std::move(*best));
  return complete;
}

std::string CallReader::TakeJson() {
  if (!taken_) {
    size_t shared = readings_.front().json.size();
    for (const Reading& r : readings_) {
      const std::string& a = readings_.front().json;
      shared = std::min(shared, r.json.size());
      shared =
          std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shared), r.json.begin())
              .first -
          a.begin();
    }
    shared = WholeCharacters(std::string_view(readings_.front().json).substr(0, shared));
    ready_.append(readings_.front().json, 0, shared);
    for (Reading& r : readings_) r.json.erase(0, shared);
  }
  return std::exchange(ready_, "");
}

void CallReader::Take(Reading r) {
  ready_ += r.json;
  repairs_ = r.repairs;
  readings_.clear();
  taken_ = true;
}

// --- readings side by side

bool CallReader::Reading::Meets(const Reading& other) const {
  return mode == other.mode && behind == other.behind && inner == other.inner &&
         wordy == other.wordy && levels == other.levels && text == other.text &&
         escape == other.escape;
}

void CallReader::Reading::Charge(int more, CallRepair repair) {
  cost += more;
  repairs.set(static_cast<size_t>(repair));
}

// Who writes one text in another style writes all so.
void CallReader::Reading::ChargeStyle(CallRepair style) {
  Charge(other_style ? 0 : kStyle, style);
  other_style = true;
}

void CallReader::Settle() {
  if (born_.empty() && readings_.size() == 1) {
    unsettled_ = 0;
    return;
  }
  for (Reading& r : born_) readings_.push_back(std::move(r));
  born_.clear();
  std::stable_sort(readings_.begin(), readings_.end(),
                   [](const Reading& a, const Reading& b) { return a.cost < b.cost; });
  std::vector<Reading> kept;
  for (Reading& r : readings_) {
    if (kept.size() == kMostReadings || (!kept.empty() && r.cost > kept.front().cost + kMargin))
      break;
    const auto meets = [&](const Reading& other) { return other.Meets(r); };
    if (std::none_of(kept.begin(), kept.end(), meets)) kept.push_back(std::move(r));
  }
  if (++unsettled_ > kMostUnsettled) kept.resize(1);
  readings_ = std::move(kept);
}

void CallReader::Advance(Reading& r, char c) {
  switch (r.mode) {
    case Mode::kKey:
      return Key(r, c);
    case Mode::kBareKey:
      return BareKey(r, c);
    case Mode::kMarkedKey:
      if (c == ':') {  // the closing quote token may be missing
        Reading ended = r;
        ended.Charge(kSlip, CallRepair::kClosingQuote);
        EndKey(ended);
        Fork(std::move(ended));
      }
      r.text.push_back(c);
      return;
    case Mode::kJsonKey:
      if (c == '"' && EndsJsonText(r.escape)) {
        r.escape.clear();
        r.mode = Mode::kColon;
      } else {
        JsonChar(r, c, true);
      }
      return;
    case Mode::kSingleKey:
      if (c == '\'') {
        r.mode = Mode::kColon;
      } else {
        r.text.push_back(c);
      }
      return;
    case Mode::kColon:
      return Colon(r, c);
    case Mode::kValue:
      return Value(r, c);
    case Mode::kBare:
      return Bare(r, c);
    case Mode::kOpenless:
      return Openless(r, c);
    case Mode::kMarked:
      return Marked(r, c);
    case Mode::kJson:
      return Json(r, c);
    case Mode::kSingle:
      return Single(r, c);
    case Mode::kNext:
      return Next(r, c);
    case Mode::kDone:
      if (!IsBlank(c)) r.Charge(IsCloser(c) ? kSlip / 3 : kSlip, CallRepair::kBrackets);
      return;
  }
}

void CallReader::AdvanceQuote(Reading& r) {
  switch (r.mode) {
    case Mode::kKey:
      r.mode = Mode::kMarkedKey;
      r.text.clear();
      return;
    case Mode::kBareKey: {
      Reading value = r;  // the colon is missing
      value.Charge(kMissingColon, CallRepair::kColon);
      EndKey(value);
      BeginText(value, Mode::kMarked);
      Fork(std::move(value));
      r.Charge(kSlip, CallRepair::kOpeningQuote);
      r.mode = Mode::kColon;
      return;
    }
    case Mode::kJsonKey:
    case Mode::kSingleKey:
      r.Charge(kSlip, CallRepair::kClosingQuote);
      r.mode = Mode::kColon;
      return;
    case Mode::kMarkedKey:
      r.mode = Mode::kColon;
      return;
    case Mode::kColon:
      r.Charge(kMissingColon, CallRepair::kColon);
      EndKey(r);
      return BeginText(r, Mode::kMarked);
    case Mode::kValue:
      return BeginText(r, Mode::kMarked);
    case Mode::kBare: {
      const bool scalar = !ScalarOf(Trim(r.text)).empty();
      EndBare(r);
      if (scalar) return AdvanceQuote(r);
      r.Charge(kSlip / 2, CallRepair::kOpeningQuote);
      return;
    }
    case Mode::kOpenless: {
      Reading on = r;
      on.Charge(kSlip + kStyle, CallRepair::kInnerQuote);
      on.json += "\\\"";
      Fork(std::move(on));
      return EndText(r);
    }
    case Mode::kMarked: {
      Reading on = r;
      on.Charge(r.inner ? kInnerClose : kInnerOpen, CallRepair::kInnerQuote);
      if (r.behind == Behind::kComma) on.cost += kLooksLikeMember;
      on.inner = !r.inner;
      on.behind = Behind::kQuote;
      on.json += "\\\"";
      Fork(std::move(on));
      if (r.inner) r.cost += kInnerOdd;
      return EndText(r);
    }
    case Mode::kJson:
    case Mode::kSingle: {
      Reading ended = r;
      ended.Charge(kMissingColon, CallRepair::kClosingQuote);
      EndText(ended);
      Fork(std::move(ended));
      r.Charge(kSlip, CallRepair::kInnerQuote);
      r.escape.clear();
      r.json += "\\\"";
      return;
    }
    case Mode::kNext: {
      Reading stray = r;
      stray.Charge(kStrayQuote, CallRepair::kInnerQuote);
      Fork(std::move(stray));
      r.Charge(kMissingComma, CallRepair::kComma);
      if (!r.in_object()) return BeginText(r, Mode::kMarked);
      r.mode = Mode::kMarkedKey;
      r.text.clear();
      return;
    }
    case Mode::kDone:
      r.Charge(kSlip, CallRepair::kInnerQuote);
      return;
  }
}

// --- keys

void CallReader::Key(Reading& r, char c) {
  if (IsBlank(c)) return;
  Level& level = r.levels.back();
  if (IsCloser(c)) {
    if (!level.first) r.Charge(2, CallRepair::kComma);
    return Close(r, c);
  }
  r.text.clear();
  r.key_cost = 0;
  switch (c) {
    case ',':
      return r.Charge(kSlip, CallRepair::kComma);
    case '{':
      if (!level.first || r.levels.size() >= kMaxDepth)
        return r.Charge(kSlip, CallRepair::kBrackets);
      r.Charge(kDoubledBrace, CallRepair::kBrackets);
      r.levels.push_back({'}', true, true});
      return;
    case '[':
      return r.Charge(kSlip, CallRepair::kBrackets);
    case '"':
      r.ChargeStyle(CallRepair::kJson);
      r.mode = Mode::kJsonKey;
      return;
    case '\'':
      r.ChargeStyle(CallRepair::kSingleQuotes);
      r.mode = Mode::kSingleKey;
      return;
    default:
      r.mode = Mode::kBareKey;
      return BareKey(r, c);
  }
}

void CallReader::Reading::KeyChar(char c) {
  const bool after_blank = !text.empty() && IsBlank(text.back());
  if (!IsBlank(c)) {
    const int more = after_blank ? kMissingColon : IsWord(c) ? 0 : kLooksEnded;
    key_cost += more;
    cost += more;
  }
  text.push_back(c);
}

void CallReader::BareKey(Reading& r, char c) {
  if (c == ':' || c == '=') {
    if (c == '=' || Trim(r.text).empty()) r.Charge(kSlip, CallRepair::kColon);
    return EndKey(r);
  }
  if (c == ',' || IsCloser(c)) {
    NullMember(r);
    return Next(r, c);
  }
  if (c == '{' || c == '[') {
    r.Charge(kMissingColon, CallRepair::kColon);
    EndKey(r);
    return Value(r, c);
  }
  r.KeyChar(c);
}

void CallReader::Colon(Reading& r, char c) {
  if (IsBlank(c)) return;
  if (c == ',' || IsCloser(c)) {
    NullMember(r);
    return Next(r, c);
  }
  if (c != ':') r.Charge(kMissingColon, CallRepair::kColon);
  EndKey(r);
  if (c != ':' && c != '=') Value(r, c);
}

void CallReader::NullMember(Reading& r) {
  EndKey(r);
  r.json += "null";
  r.Charge(kMissingValue, CallRepair::kColon);
  r.mode = Mode::kNext;
}

// A declared name is one however it looks; an odd one is not the worse the longer it is.
void CallReader::EndKey(Reading& r) {
  const bool quoted = r.mode != Mode::kBareKey;
  const std::string_view name = quoted ? std::string_view(r.text) : Trim(r.text);
  const bool outermost = std::count_if(r.levels.begin(), r.levels.end(),
                                       [](const Level& l) { return !l.doubled; }) == 1;
  const bool judged = outermost && names_ != nullptr && !names_->empty();
  const bool declared = judged && names_->contains(name);
  if (judged && !declared) r.cost += kUndeclaredName;
  r.cost -= declared ? r.key_cost : std::max(0, r.key_cost - kOddKey);
  r.key_cost = 0;
  Level& level = r.levels.back();
  if (!level.first) r.json.push_back(',');
  level.first = false;
  r.json += QuoteJson(name) + ":";
  r.text.clear();
  r.escape.clear();
  r.mode = Mode::kValue;
}

// --- values

void CallReader::Value(Reading& r, char c) {
  if (IsBlank(c)) return;
  // Whatever comes may belong to a text whose opening quote token is missing.
  Reading openless = r;
  constexpr std::string_view kOtherwise = "{}[](),\"'";  // begins something else as a rule
  openless.Charge(kOtherwise.find(c) == std::string_view::npos ? kSlip : kSlip + kOddStart,
                  CallRepair::kOpeningQuote);
  BeginText(openless, Mode::kOpenless);
  openless.Follow(c);
  Escape(c, openless.json);
  Fork(std::move(openless));
  if (c == ',' || IsCloser(c)) {
    if (r.in_object()) {
      r.json += "null";
      r.Charge(kMissingValue, CallRepair::kColon);
    } else if (c == ',') {
      return r.Charge(kSlip, CallRepair::kComma);
    } else if (!r.levels.back().first) {
      r.Charge(2, CallRepair::kComma);
    }
    r.mode = Mode::kNext;
    return Next(r, c);
  }
  switch (c) {
    case '{':
      return Open(r, '}');
    case '[':
      return Open(r, ']');
    case '"':
      r.ChargeStyle(CallRepair::kJson);
      return BeginText(r, Mode::kJson);
    case '\'':
      r.ChargeStyle(CallRepair::kSingleQuotes);
      return BeginText(r, Mode::kSingle);
    default:
      r.mode = Mode::kBare;
      r.wordy = false;
      r.text.clear();
      return Bare(r, c);
  }
}

void CallReader::Bare(Reading& r, char c) {
  if (c == ',' || IsCloser(c)) {
    EndBare(r);
    return Next(r, c);
  }
  if (!IsBlank(c) && !r.text.empty() && !ScalarOf(Trim(r.text)).empty()) {
    // Behind a number or a constant the comma may be missing.
    const bool number =
        std::isdigit(static_cast<unsigned char>(r.text.front())) || r.text[0] == '-';
    const bool begins = IsBlank(r.text.back()) || !IsWord(c) ||
                        (number ? std::isalpha(static_cast<unsigned char>(c)) : true);
    if (begins) {
      Reading split = r;
      EndBare(split);
      Next(split, c);
      Fork(std::move(split));
    }
  }
  r.text.push_back(c);
  if (c == ':') r.cost += kSlip / 2;
  if (!r.wordy && !IsBlank(c) && !MayBecomeScalar(r.text)) {
    r.wordy = true;
    r.Charge(kSlip, CallRepair::kOpeningQuote);
  }
}

void CallReader::EndBare(Reading& r) {
  const std::string_view text = Trim(r.text);
  const std::string_view scalar = ScalarOf(text);
  BeginValue(r);
  if (scalar.empty()) {
    if (!r.wordy) r.Charge(kSlip, CallRepair::kOpeningQuote);
    r.json += QuoteJson(text);
  } else {
    // None is what templates write for null.
    if (scalar != text && text != "None") r.Charge(0, CallRepair::kPython);
    r.json += scalar;
  }
  r.text.clear();
  r.wordy = false;
  r.mode = Mode::kNext;
}

void CallReader::Openless(Reading& r, char c) {
  r.Follow(c);
  Escape(c, r.json);
}

void CallReader::Marked(Reading& r, char c) {
  if (c == ',' || IsCloser(c)) {
    Reading ended = r;
    ended.Charge(kSlip + (r.inner ? kInnerOdd : 0), CallRepair::kClosingQuote);
    EndText(ended);
    Next(ended, c);
    Fork(std::move(ended));
  }
  r.Follow(c);
  r.blank = IsBlank(c);
  Escape(c, r.json);
}

void CallReader::Reading::Follow(char c) {
  const bool closer = c == '}' || c == ']';
  if (mode == Mode::kOpenless) {
    // Members that are whole speak against a text that began before them.
    if (c == ':' && behind == Behind::kName && members++ < 2) cost += kHoldsMember;
    if (behind == Behind::kComma && (IsBlank(c) || c == '{' || c == '[')) return;
    behind = c == ','                                  ? Behind::kComma
             : behind != Behind::kNothing && IsWord(c) ? Behind::kName
                                                       : Behind::kNothing;
    return;
  }
  if (behind == Behind::kNothing || (IsBlank(c) && behind != Behind::kName)) return;
  switch (behind) {
    case Behind::kQuote:
      if (c == ',' || closer) cost += kLooksEnded;
      behind = c == ','    ? Behind::kComma
               : closer    ? Behind::kBracket
               : IsWord(c) ? Behind::kName
                           : Behind::kNothing;
      return;
    case Behind::kBracket:
      if (closer) cost += 2;
      if (!closer) behind = c == ',' ? Behind::kComma : Behind::kNothing;
      return;
    case Behind::kComma:
      if (c == '{' || c == '[') cost += kLooksLikeMember;
      behind = IsWord(c) ? Behind::kName : Behind::kNothing;
      return;
    case Behind::kName:
      if (c == ':') cost += kLooksLikeMember;
      if (!IsWord(c)) behind = Behind::kNothing;
      return;
    case Behind::kNothing:
      return;
  }
}

// Escapes are resolved, so that none is left that names half a character.
void CallReader::JsonChar(Reading& r, char c, bool key) {
  const auto plain = [&](std::string_view text) {
    key ? void(r.text += text) : Escape(text, r.json);
  };
  if (r.escape.empty()) {
    c == '\\' ? r.escape.push_back(c) : plain({&c, 1});
    return;
  }
  r.escape.push_back(c);
  const size_t size = r.escape.size();
  if (size == 2) {
    static constexpr std::string_view kShort = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    if (c == 'u') return;
    const size_t at = kShort.find(c);
    // No escape of JSON: the backslash is meant.
    plain(at == std::string_view::npos ? std::string_view(r.escape) : kMeant.substr(at, 1));
    return r.escape.clear();
  }
  const bool fits = size == 7 ? c == '\\' : size == 8 ? c == 'u' : HexDigit(c) >= 0;
  const bool first_ends = fits && size == 6, second_ends = fits && size == 12;
  if (fits && !first_ends && !second_ends) return;
  const std::string escape = std::exchange(r.escape, "");
  const uint32_t code = size >= 6 ? HexCode(escape, 2) : 0;
  if (first_ends && code >= 0xD800 && code < 0xDC00) {
    r.escape = escape;  // the second half must follow
    return;
  }
  if (fits) {
    const uint32_t low = second_ends ? HexCode(escape, 8) : 0;
    std::string text;
    AppendUtf8(text, second_ends && low >= 0xDC00 && low < 0xE000
                         ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                     : second_ends || (code >= 0xD800 && code < 0xE000) ? kNoCharacter
                                                                        : code);
    return plain(text);
  }
  if (size <= 6) return plain(escape);
  std::string text;
  AppendUtf8(text, kNoCharacter);
  plain(text);
  for (const char again : escape.substr(6)) JsonChar(r, again, key);
}

void CallReader::Json(Reading& r, char c) {
  if (c == '"' && EndsJsonText(r.escape)) {
    r.escape.clear();
    Reading on = r;
    on.Charge(kInnerOpen, CallRepair::kInnerQuote);
    on.behind = Behind::kQuote;
    on.json += "\\\"";
    Fork(std::move(on));
    return EndText(r);
  }
  r.Follow(c);
  JsonChar(r, c, false);
}

// As the notation's own texts: nothing in it is escaped but a quote.
void CallReader::Single(Reading& r, char c) {
  if (!r.escape.empty()) {
    if (c != '\'') Escape('\\', r.json);
    r.escape.clear();
    if (c == '\'') return r.json.push_back(c);
  }
  if (c == '\'') {
    Reading on = r;
    on.Charge(kInnerOpen, CallRepair::kInnerQuote);
    on.behind = Behind::kQuote;
    on.json.push_back(c);
    Fork(std::move(on));
    return EndText(r);
  }
  r.Follow(c);
  c == '\\' ? r.escape.push_back(c) : Escape(c, r.json);
}

void CallReader::Next(Reading& r, char c) {
  if (IsBlank(c)) return;
  if (IsCloser(c)) return Close(r, c);
  if (c == ',') {
    r.blank = false;
    r.mode = r.in_object() ? Mode::kKey : Mode::kValue;
    return;
  }
  if (c == ':') return r.Charge(kSlip, CallRepair::kColon);
  // Behind a blank, a quote token rather begins a quotation than ends a text.
  r.Charge(r.blank ? kMissingComma + kAfterBlank : kMissingComma, CallRepair::kComma);
  r.blank = false;
  if (r.in_object()) {
    r.mode = Mode::kKey;
    Key(r, c);
  } else {
    r.mode = Mode::kValue;
    Value(r, c);
  }
}

// --- structure

void CallReader::Open(Reading& r, char close) {
  BeginValue(r);
  if (r.levels.size() >= kMaxDepth) {  // deeper than any schema: the value is dropped
    r.json += "null";
    r.mode = Mode::kNext;
    return;
  }
  r.json.push_back(close == '}' ? '{' : '[');
  r.levels.push_back({close});
  r.mode = close == '}' ? Mode::kKey : Mode::kValue;
}

// The comma in front of a list's element; members have theirs in front of the key.
void CallReader::BeginValue(Reading& r) {
  Level& level = r.levels.back();
  if (r.in_object()) return;
  if (!level.first) r.json.push_back(',');
  level.first = false;
}

void CallReader::BeginText(Reading& r, Mode mode) {
  BeginValue(r);
  r.json.push_back('"');
  r.mode = mode;
  r.behind = Behind::kNothing;
  r.inner = false;
  r.blank = false;
  r.members = 0;
  r.escape.clear();
}

void CallReader::EndText(Reading& r) {
  Escape(r.escape, r.json);
  r.escape.clear();
  r.json.push_back('"');
  r.behind = Behind::kNothing;
  r.inner = false;
  r.mode = Mode::kNext;
}

void CallReader::Close(Reading& r, char c) {
  const bool open =
      std::any_of(r.levels.begin(), r.levels.end(), [&](const Level& l) { return l.close == c; });
  if (!open) return r.Charge(kSlip, CallRepair::kBrackets);
  if (r.levels.back().close != c || r.levels.size() == 1) {
    Reading stray = r;
    stray.Charge(kSlip, CallRepair::kBrackets);
    Fork(std::move(stray));
  }
  while (r.levels.back().close != c) {
    if (!r.levels.back().doubled) r.Charge(kSlip, CallRepair::kBrackets);
    CloseLevel(r);
  }
  CloseLevel(r);
  r.mode = r.levels.empty() ? Mode::kDone : Mode::kNext;
}

void CallReader::CloseLevel(Reading& r) {
  const Level level = r.levels.back();
  r.levels.pop_back();
  if (level.doubled) {
    r.levels.back().first = level.first;
  } else {
    r.json.push_back(level.close == ']' ? ']' : '}');
  }
}

void CallReader::FinishReading(Reading& r, bool cut) {
  switch (r.mode) {
    case Mode::kBareKey:
    case Mode::kMarkedKey:
    case Mode::kJsonKey:
    case Mode::kSingleKey:
    case Mode::kColon:
      if (!cut) NullMember(r);
      break;
    case Mode::kValue:
    case Mode::kBare:
      // Half a number is another number.
      if (r.mode == Mode::kBare && !cut) {
        EndBare(r);
      } else if (r.in_object()) {
        r.json += "null";
        r.Charge(kMissingValue, CallRepair::kColon);
      }
      break;
    case Mode::kOpenless:
    case Mode::kMarked:
    case Mode::kJson:
    case Mode::kSingle:
      if (r.inner) r.cost += kInnerOdd;
      r.Charge(kSlip, CallRepair::kClosingQuote);
      EndText(r);
      break;
    case Mode::kKey:
    case Mode::kNext:
    case Mode::kDone:
      break;
  }
  while (!r.levels.empty()) {
    r.Charge(r.levels.back().doubled ? kUnclosedLevel / 2 : kUnclosedLevel, CallRepair::kBrackets);
    CloseLevel(r);
  }
  r.mode = Mode::kDone;
}

}  // namespace facet
