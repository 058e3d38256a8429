#pragma once

#include <string>

namespace facet {

// This folder in the source tree, and the program that the tests run. Functions, so that only one
// object depends on where the tree lies and a compiler cache serves every clone.
std::string TestsDir();
std::string FacetBinary();

}  // namespace facet
