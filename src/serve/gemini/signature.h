// What travels in thoughtSignature, and what resolutions are worth.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace facet::serve {

// Thoughts that the client sends back as it got them: base64, as the API wants it. Nothing where
// the signature is another server's.
std::string SignatureOf(const std::string& thoughts);
std::string ThoughtsOf(const std::string& signature);

// Soft tokens of a picture at "MEDIA_RESOLUTION_LOW" and so on; nothing for others.
std::optional<int> PictureBudget(std::string_view level);

}  // namespace facet::serve
