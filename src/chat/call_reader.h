// The arguments of a tool call in Gemma 4's notation, {key:<|"|>text<|"|>,list:[1,true]}, as JSON.
//
// Models write the notation a little wrong now and then: a quote token is missing or stands inside
// a text, a comma is missing, JSON or Python is written instead. All readings of what came so far
// are kept side by side, each with what it costs (ten for one slip of the pen); of readings that
// meet in one state, the cheaper one stays, and one that costs much more than the best is given up.
// What all readings agree on is handed out while the call goes on; at its end the cheapest is
// taken. A well-formed call has one reading from its second member on, so it streams as it is
// written. The result does not depend on where the stream is cut.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace facet {

// What was read otherwise than the notation has it.
enum class CallRepair : uint8_t {
  kOpeningQuote,  // a text without its opening quote token, or with neither
  kClosingQuote,
  kInnerQuote,  // a quote token inside a text
  kComma,       // one missing, or one too many
  kColon,
  kBrackets,  // one missing, doubled, or one too many
  kParentheses,
  kSingleQuotes,
  kJson,
  kPython,       // None, True, False
  kOpenEnd,      // the turn ended inside the call
  kUnknownName,  // no tool is called so: shown as text
  kCount
};
using CallRepairs = std::bitset<static_cast<size_t>(CallRepair::kCount)>;
// "missing_comma" and so on, for logs and metrics.
std::string_view CallRepairName(CallRepair repair);

class CallReader {
 public:
  using Names = std::set<std::string, std::less<>>;
  // Begins inside the outermost brace. `names`: the members that the tool declares, empty where
  // they are not known; it must outlive this object.
  explicit CallReader(const Names* names = nullptr, bool parentheses = false);

  void Text(std::string_view text);
  // The quote token <|"|>.
  void Quote();
  // A control token that ends a call outside of texts. True where the call has ended; false where
  // the token is part of a text.
  bool Boundary(std::string_view token);
  // Another control token: text inside of texts, else nothing.
  void Control(std::string_view token);
  // The turn has ended. True where the call is complete, or could be completed; false where `cut`
  // (by a limit) leaves out what was still to come. What TakeJson has given is valid JSON then.
  bool Finish(bool cut);

  // What is certain since the last call, in whole characters; "{" comes first.
  std::string TakeJson();
  // Of the reading that was taken.
  const CallRepairs& repairs() const { return repairs_; }

 private:
  enum class Mode : uint8_t {
    kKey,        // a key or a closing bracket comes next
    kBareKey,    // inside a key
    kMarkedKey,  // ... between quote tokens
    kJsonKey,    // ... between double quotes
    kSingleKey,  // ... between single quotes
    kColon,      // behind a quoted key
    kValue,      // a value comes next
    kBare,       // inside a value without quotes
    kOpenless,   // inside a text whose opening quote token is missing
    kMarked,     // inside a text
    kJson,       // ... between double quotes
    kSingle,     // ... between single quotes
    kNext,       // behind a value
    kDone,       // behind the outermost bracket
  };
  // What follows a quote token that was read as part of a text.
  enum class Behind : uint8_t { kNothing, kQuote, kBracket, kComma, kName };
  struct Level {
    char close;
    bool first = true;
    bool doubled = false;  // the second of two braces: no level of the JSON
    bool operator==(const Level&) const = default;
  };
  struct Reading {
    std::vector<Level> levels;
    Mode mode = Mode::kKey;
    Behind behind = Behind::kNothing;
    bool inner = false;        // an odd number of quote tokens inside this text so far
    bool blank = false;        // the text so far ends with a blank
    bool wordy = false;        // a bare value that is no number or constant: charged
    bool other_style = false;  // JSON's or Python's quotes were seen: charged
    uint8_t members = 0;       // in a text without its opening quote: charged
    int key_cost = 0;          // of the key so far
    int cost = 0;
    std::string text;    // a key or a bare value
    std::string escape;  // of a JSON string
    std::string json;    // not handed out yet
    CallRepairs repairs;

    bool Meets(const Reading& other) const;
    void Charge(int more, CallRepair repair);
    void ChargeStyle(CallRepair style);
    void KeyChar(char c);
    // What a text that goes on behind a quote token looks like: its end and the next member, or
    // not.
    void Follow(char c);
    bool in_object() const { return levels.back().close != ']'; }
    bool in_text() const {
      return mode == Mode::kMarked || mode == Mode::kOpenless || mode == Mode::kJson ||
             mode == Mode::kSingle;
    }
  };

  // One symbol in one reading, which may leave further readings in born_.
  void Advance(Reading& r, char c);
  void AdvanceQuote(Reading& r);
  void Key(Reading& r, char c);
  void BareKey(Reading& r, char c);
  void Colon(Reading& r, char c);
  void Value(Reading& r, char c);
  void Bare(Reading& r, char c);
  void Marked(Reading& r, char c);
  void Openless(Reading& r, char c);
  void Json(Reading& r, char c);
  void JsonChar(Reading& r, char c, bool key);
  void Single(Reading& r, char c);
  void Next(Reading& r, char c);

  void Fork(Reading copy) { born_.push_back(std::move(copy)); }
  void Settle();
  void Close(Reading& r, char c);
  void CloseLevel(Reading& r);
  void Open(Reading& r, char close);
  void BeginValue(Reading& r);
  void BeginText(Reading& r, Mode mode);
  void EndText(Reading& r);
  void EndKey(Reading& r);
  void EndBare(Reading& r);
  void NullMember(Reading& r);
  void FinishReading(Reading& r, bool cut);
  void Take(Reading r);
  bool IsCloser(char c) const { return c == '}' || c == ']' || (parentheses_ && c == ')'); }

  const Names* names_;
  bool parentheses_;  // in place of the outermost braces
  std::vector<Reading> readings_, born_;
  // How the call would have ended at the control token just before, which was taken for text.
  std::optional<Reading> ended_;
  int unsettled_ = 0;  // symbols since there was one reading alone
  bool taken_ = false;
  std::string ready_;
  CallRepairs repairs_;
};

}  // namespace facet
