// What a mistyped name of a model was probably meant to be.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace facet {

// The known name that is nearest to `name`: at most a third of its letters differ, upper case
// aside. Nothing where none is that near.
std::optional<std::string> NearestName(std::string_view name, std::span<const std::string> known);

}  // namespace facet
