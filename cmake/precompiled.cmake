# Headers of libraries that most files need are parsed once for all layers, once more with what commands need, and once for
# the tests. Only headers that never change belong here: every file behind one is compiled again when it does.
# Files include what they use all the same; -DFACET_PCH=OFF proves it.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(default_pch ON)
else()
  set(default_pch OFF)
endif()
option(FACET_PCH "Precompile headers" ${default_pch})

set(FACET_PCH_HEADERS
  <algorithm> <array> <atomic> <charconv> <chrono> <cmath> <condition_variable> <cstdint> <cstdio> <cstring> <deque>
  <filesystem> <fstream> <functional> <iostream> <limits> <map> <memory> <mutex> <optional> <random> <set> <span>
  <sstream> <string> <string_view> <thread> <unordered_map> <utility> <vector> <nlohmann/json.hpp>)

# Precompiles the common headers and ARGN as headers of `target`.
function(facet_precompile target)
  if(FACET_PCH)
    target_precompile_headers(${target} PRIVATE ${FACET_PCH_HEADERS} ${ARGN})
  endif()
endfunction()

# Lets `target` use what was precompiled for `owner`.
function(facet_precompiled_as target owner)
  if(FACET_PCH)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()
