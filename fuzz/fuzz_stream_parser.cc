// Any bytes as a model's answer: the arguments of its calls are JSON, complete or cut off, and the
// answer is the same wherever the stream was cut.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "chat/stream_parser.h"

namespace {

using namespace facet;

std::vector<OutputEvent> Parse(std::string_view text, size_t at, bool cut) {
  StreamParser parser;
  std::vector<OutputEvent> events;
  parser.Feed(text.substr(0, at), events);
  parser.Feed(text.substr(at), events);
  parser.Finish(events, cut);
  return events;
}

void CheckArguments(const std::vector<OutputEvent>& events) {
  std::vector<std::string> calls;
  for (const OutputEvent& event : events) {
    if (event.kind == OutputEvent::Kind::kCallBegin) calls.emplace_back();
    if (event.kind == OutputEvent::Kind::kCallArguments) calls.back() += event.text;
  }
  for (const std::string& arguments : calls)
    if (!nlohmann::json::accept(arguments)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (!IsUtf8(text)) return 0;
  for (const bool cut : {false, true}) {
    const std::vector<OutputEvent> whole = Parse(text, text.size(), cut);
    CheckArguments(whole);
    if (Parse(text, text.size() / 2, cut) != whole) std::abort();
  }
  return 0;
}
