#include "serve/media/multipart.h"

#include <cctype>

namespace facet::serve {
namespace {

constexpr size_t kMaxParts = 64, kMaxPartHeader = 8192;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// The value of `; key=value` or `; key="value"` in a header.
std::optional<std::string> Parameter(std::string_view header, std::string_view key) {
  size_t at = 0;
  while ((at = header.find(';', at)) != std::string_view::npos) {
    ++at;
    while (at < header.size() && header[at] == ' ') ++at;
    const std::string_view rest = header.substr(at);
    if (rest.size() <= key.size() || Lower(rest.substr(0, key.size())) != key ||
        rest[key.size()] != '=')
      continue;
    std::string_view value = rest.substr(key.size() + 1);
    if (!value.starts_with('"')) return std::string(value.substr(0, value.find_first_of("; \t")));
    std::string out;
    for (size_t i = 1; i < value.size() && value[i] != '"'; ++i) {
      if (value[i] == '\\' && i + 1 < value.size()) ++i;
      out.push_back(value[i]);
    }
    return out;
  }
  return std::nullopt;
}

Result<FormPart> ParsePart(std::string_view part) {
  const size_t blank = part.find("\r\n\r\n");
  if (blank == std::string_view::npos || blank > kMaxPartHeader)
    return Error{"a part of the form has no headers"};
  FormPart out;
  out.content = part.substr(blank + 4);
  std::string_view headers = part.substr(0, blank);
  while (!headers.empty()) {
    const size_t end = headers.find("\r\n");
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(end == std::string_view::npos ? headers.size() : end + 2);
    if (!Lower(line).starts_with("content-disposition:")) continue;
    out.name = Parameter(line, "name").value_or("");
    out.filename = Parameter(line, "filename").value_or("");
  }
  if (out.name.empty()) return Error{"a part of the form has no name"};
  return out;
}

}  // namespace

Result<std::vector<FormPart>> ParseMultipart(std::string_view content_type, std::string_view body) {
  const auto boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) {
    return Error{
        "Content-Type: expected multipart/form-data with a boundary of 1 to 70 characters"};
  }
  const std::string line = "--" + *boundary;
  size_t at = body.find(line);
  if (at != 0) return Error{"the form does not begin with its boundary"};
  std::vector<FormPart> parts;
  at += line.size();
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with("\r\n"))
      return Error{"malformed form: expected a line break after the boundary"};
    const size_t end = body.find("\r\n" + line, at);
    if (end == std::string_view::npos) return Error{"the form does not end with its boundary"};
    if (parts.size() == kMaxParts)
      return Error{Cat("expected at most ", kMaxParts, " fields in the form")};
    FACET_ASSIGN(FormPart part, ParsePart(body.substr(at + 2, end - at - 2)));
    parts.push_back(std::move(part));
    at = end + 2 + line.size();
  }
  return parts;
}

}  // namespace facet::serve
