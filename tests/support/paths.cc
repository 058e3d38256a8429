#include "support/paths.h"

namespace facet {

std::string TestsDir() {
  return FACET_TESTS_DIR;
}

std::string FacetBinary() {
  return FACET_BINARY;
}

}  // namespace facet
