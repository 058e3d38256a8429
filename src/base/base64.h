// Base64 of RFC 4648.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace facet {

// Standard alphabet, padding optional, white space ignored; nothing where the text is malformed.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace facet
