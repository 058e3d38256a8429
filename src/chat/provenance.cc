#include "chat/provenance.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/utf8.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

// As deep as text-core reads a context.
constexpr int kMaxDepth = 100;

constexpr std::string_view kThoughtBegin = "<|channel>", kThoughtEnd = "<channel|>";

size_t CharBytes(std::string_view text, size_t at) {
  return std::max(DecodeUtf8(text, at).bytes, 1);
}

// True where the template writes `head` at the end of a literal, so that an expression's value
// follows it directly.
bool EndsLiteral(std::string_view source, std::string_view head) {
  for (size_t at = source.find(head); at != source.npos; at = source.find(head, at + 1)) {
    const std::string_view rest = source.substr(at + head.size());
    if (rest.empty() || rest[0] == '\'' || rest[0] == '"' || rest[0] == '{') return true;
  }
  return false;
}

// Words that templates compare (`word`) are marked only where a special token could begin.
std::string MarkText(const SpecialTokenGuard& guard, const Marks& marks, std::string_view text,
                     bool word = false) {
  std::string marked;
  const bool completes = !word && guard.Completes(text);
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharBytes(text, at);
    marked += text.substr(at, bytes);
    if (guard.Begins(text[at]) || (at == 0 && completes)) marked += marks.after;
    at += bytes;
  }
  return marked;
}

Result<void> MarkBelow(const SpecialTokenGuard& guard, const Marks& marks, int depth, Json& value,
                       bool word = false) {
  if (depth > kMaxDepth) {
    return Error{Cat("messages or tools are nested deeper than ", kMaxDepth)};
  }
  if (value.is_string()) {
    value = MarkText(guard, marks, value.get_ref<const std::string&>(), word);
  } else if (value.is_array()) {
    for (Json& item : value) FACET_TRY(MarkBelow(guard, marks, depth + 1, item));
  } else if (value.is_object()) {
    Json marked = Json::object();
    for (auto& [key, item] : value.get_ref<Json::object_t&>()) {
      const bool compared = key == "role" || key == "type";
      FACET_TRY(MarkBelow(guard, marks, depth + 1, item, compared));
      marked.emplace(MarkText(guard, marks, key, true), std::move(item));
    }
    value = std::move(marked);
  }
  return Ok();
}

}  // namespace

SpecialTokenGuard::SpecialTokenGuard(const std::vector<std::string>& special_tokens,
                                     std::string_view source) {
  std::unordered_set<std::string> tails, heads, harmless;
  for (const std::string& token : special_tokens) {
    if (token.empty()) continue;
    first_bytes_[static_cast<unsigned char>(token[0])] = true;
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const std::string head = token.substr(0, cut);
      if (harmless.contains(head)) continue;
      if (heads.contains(head) || EndsLiteral(source, head)) {
        heads.insert(head);
        tails.insert(token.substr(cut));
      } else {
        harmless.insert(head);
      }
    }
  }
  tails_.assign(tails.begin(), tails.end());
}

bool SpecialTokenGuard::Completes(std::string_view text) const {
  return !text.empty() && std::any_of(tails_.begin(), tails_.end(), [&](std::string_view tail) {
    return text.starts_with(tail) || tail.starts_with(text);
  });
}

Result<Marks> Marks::Choose(std::string_view context, std::string_view source) {
  constexpr char32_t kNoncharacters = 0xFDD0, kNoncharacterCount = 32;
  constexpr char32_t kPrivate = 0x100000, kPrivateCount = 0xFFFE;
  std::vector<bool> used(kNoncharacterCount + kPrivateCount, false);
  for (const std::string_view text : {context, source}) {
    for (size_t at = 0; at < text.size(); ++at) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte != 0xEF && byte != 0xF4) continue;
      const char32_t code = DecodeUtf8(text, at).code;
      if (code >= kNoncharacters && code < kNoncharacters + kNoncharacterCount) {
        used[code - kNoncharacters] = true;
      } else if (code >= kPrivate && code < kPrivate + kPrivateCount) {
        used[kNoncharacterCount + code - kPrivate] = true;
      }
    }
  }
  constexpr size_t kMarks = 3;
  std::vector<std::string> free;
  for (size_t i = 0; i < used.size() && free.size() < kMarks; ++i) {
    if (used[i]) continue;
    AppendUtf8(free.emplace_back(),
               static_cast<char32_t>(i < kNoncharacterCount ? kNoncharacters + i
                                                            : kPrivate + i - kNoncharacterCount));
  }
  if (free.size() < kMarks) return Error{"the messages use every private-use character"};
  return Marks{free[0], free[1], free[2]};
}

Result<void> MarkStrings(const SpecialTokenGuard& guard, const Marks& marks, Json& value) {
  return MarkBelow(guard, marks, 0, value);
}

std::string MarkAssistantText(const SpecialTokenGuard& guard, const Marks& marks,
                              std::string_view text) {
  std::string marked;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const bool opens = rest.starts_with(kThoughtBegin);
    if (!opens && !rest.starts_with(kThoughtEnd)) {
      ++at;
      continue;
    }
    marked += MarkText(guard, marks, text.substr(begin, at - begin));
    // The mark is on the thought's side, so that cutting the thought takes it along.
    marked += opens ? Cat(kThoughtBegin, marks.after) : Cat(marks.before, kThoughtEnd);
    begin = at += opens ? kThoughtBegin.size() : kThoughtEnd.size();
  }
  return marked + MarkText(guard, marks, text.substr(begin));
}

std::string TakeMarks(const Marks& marks, std::string_view text, std::vector<TextSpan>& plain) {
  std::string out;
  bool untrusted = false;  // the next character
  const auto add = [&](size_t begin, size_t end) {
    if (!plain.empty() && plain.back().end >= end) return;
    plain.push_back({begin, end});
  };
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with(marks.after)) {
      size_t begin = out.size();
      while (begin > 0 && (out[--begin] & 0xC0) == 0x80) {
      }
      if (!out.empty()) add(begin, out.size());
      at += marks.after.size();
    } else if (rest.starts_with(marks.before)) {
      untrusted = true;
      at += marks.before.size();
    } else {
      const size_t bytes = CharBytes(text, at);
      out += rest.substr(0, bytes);
      if (untrusted) add(out.size() - bytes, out.size());
      untrusted = false;
      at += bytes;
    }
  }
  return out;
}

}  // namespace facet
