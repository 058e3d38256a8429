#include "serve/media/multipart.h"

#include "base/text.h"

namespace facet::serve {
namespace {

constexpr size_t kMaxParts = 64, kMaxPartHeader = 8192;

// The value of `; key=value` or `; key="value"` in a header. A quoted value may hold what looks
// like a parameter.
std::optional<std::string> Parameter(std::string_view header, std::string_view key) {
  size_t at = header.find(';');
  while (at != header.npos) {
    const size_t equals = header.find_first_of("=;", ++at);
    if (equals == header.npos) return std::nullopt;
    const std::string name = ToLower(Trim(header.substr(at, equals - at)));
    at = equals;
    if (header[equals] == ';') continue;
    std::string value;
    if (++at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && at + 1 < header.size()) ++at;
        value.push_back(header[at]);
      }
      at = header.find(';', at);
    } else {
      const size_t end = header.find(';', at);
      value = Trim(header.substr(at, end - at));
      at = end;
    }
    if (name == key) return value;
  }
  return std::nullopt;
}

Error FormError(std::string message) {
  return {std::move(message), ErrorKind::kInvalid, "invalid_form"};
}

Result<FormPart> ParsePart(std::string_view part) {
  const size_t blank = part.find("\r\n\r\n");
  if (blank == std::string_view::npos || blank > kMaxPartHeader)
    return FormError("a part of the form has no headers");
  FormPart out;
  out.content = part.substr(blank + 4);
  std::string_view headers = part.substr(0, blank);
  while (!headers.empty()) {
    const size_t end = headers.find("\r\n");
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(end == std::string_view::npos ? headers.size() : end + 2);
    if (!ToLower(line).starts_with("content-disposition:")) continue;
    out.name = Parameter(line, "name").value_or("");
    out.filename = Parameter(line, "filename").value_or("");
  }
  if (out.name.empty()) return FormError("a part of the form has no name");
  return out;
}

}  // namespace

Result<std::vector<FormPart>> ParseMultipart(std::string_view content_type, std::string_view body) {
  const auto boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) {
    return FormError(
        "Content-Type: expected multipart/form-data with a boundary of 1 to 70 characters");
  }
  const std::string line = "--" + *boundary;
  size_t at = body.find(line);
  if (at != 0) return FormError("the form does not begin with its boundary");
  std::vector<FormPart> parts;
  at += line.size();
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with("\r\n"))
      return FormError("malformed form: expected a line break after the boundary");
    const size_t end = body.find("\r\n" + line, at);
    if (end == std::string_view::npos) return FormError("the form does not end with its boundary");
    if (parts.size() == kMaxParts)
      return FormError(Cat("expected at most ", kMaxParts, " fields in the form"));
    FACET_ASSIGN(FormPart part, ParsePart(body.substr(at + 2, end - at - 2)));
    parts.push_back(std::move(part));
    at = end + 2 + line.size();
  }
  return parts;
}

}  // namespace facet::serve
