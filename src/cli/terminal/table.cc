#include "cli/terminal/table.h"

#include <algorithm>
#include <iomanip>
#include <iostream>

namespace facet::cli {

void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i + 1 == row.size()) {
        std::cout << row[i] << "\n";
      } else {
        std::cout << std::left << std::setw(static_cast<int>(widths[i]) + 2) << row[i];
      }
    }
  }
}

}  // namespace facet::cli
