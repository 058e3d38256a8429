// multipart/form-data of RFC 7578, for uploads.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace facet::serve {

struct FormPart {
  std::string name, filename;
  std::string_view content;  // of the body that was parsed
};

// Errors ("invalid_form"): no boundary, a part without a name or an end, more than 64 parts.
Result<std::vector<FormPart>> ParseMultipart(std::string_view content_type, std::string_view body);

}  // namespace facet::serve
