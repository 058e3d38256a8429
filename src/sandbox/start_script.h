// start.py, a part of this program.
#pragma once

#include <string_view>

namespace facet::sandbox {

std::string_view StartScript();

}  // namespace facet::sandbox
