// Pictures as PNG files.
#pragma once

#include <string>

#include "base/result.h"
#include "media/media.h"

namespace facet::media {

// 8-bit RGB, with nothing in the file but the pixels. Errors: sides of 0, no memory.
Result<std::string> EncodePng(const Picture& picture);

}  // namespace facet::media
