// Rows of text in columns.
#pragma once

#include <string>
#include <vector>

namespace facet::cli {

// On stdout, each column as wide as its widest cell; the last as it is.
void PrintTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace facet::cli
