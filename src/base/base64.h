// Base64 of RFC 4648.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace facet {

// The bytes that `text` stands for. Takes the standard alphabet and the one for URLs (- and _ for +
// and /), ignores spaces, tabs and line breaks, and does not need the padding. Nothing where the
// text has another character, a character after the padding, more than two of it, or a last
// character that is too little for a byte.
std::optional<std::string> DecodeBase64(std::string_view text);

// Standard alphabet, padded, without line breaks.
std::string EncodeBase64(std::string_view bytes);

}  // namespace facet
