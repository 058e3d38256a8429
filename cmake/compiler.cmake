# How every target is compiled: build type, warnings, sanitizers, compiler cache.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

option(FACET_WERROR "Treat warnings as errors (the presets do)" OFF)
set(FACET_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")

# Precompiled headers reach the cache only with these settings. Depend mode takes the list of headers from the compiler,
# so that a file which is not in the cache is not preprocessed before it is compiled.
find_program(CCACHE ccache)
if(CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

add_library(facet_options INTERFACE)
target_include_directories(facet_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(facet_options INTERFACE -Wall -Wextra)
if(FACET_WERROR)
  target_compile_options(facet_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # ccache reads a precompiled header's name from the preprocessor's output.
  target_compile_options(facet_options INTERFACE -fpch-preprocess)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # A false alarm of GCC 12 about std::string (GCC bug 105329).
    target_compile_options(facet_options INTERFACE -Wno-restrict)
  endif()
endif()
# No path of this machine in the program.
target_compile_options(facet_options INTERFACE -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)

if(FACET_SANITIZE)
  target_compile_options(facet_options INTERFACE -fsanitize=${FACET_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(facet_options INTERFACE -fsanitize=${FACET_SANITIZE})
  if(FACET_SANITIZE MATCHES undefined)
    target_compile_options(facet_options INTERFACE -fno-sanitize-recover=all)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC 12 sees uninitialised reads in std::regex once sanitizers are on, and warns that they do not know atomic fences.
    target_compile_options(facet_options INTERFACE -Wno-maybe-uninitialized)
    if(FACET_SANITIZE STREQUAL thread)
      target_compile_options(facet_options INTERFACE -Wno-tsan)
    endif()
  endif()
endif()

if(FACET_BUILD_FUZZ)
  target_compile_options(facet_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined
                                                 -fno-sanitize-recover=all -g -O1 -Wno-error
                                                 -Wno-unknown-warning-option)
endif()

# Release compiles for speed (-O3) where numbers are computed; elsewhere the optimiser's time buys nothing.
function(facet_optimise target level)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O${level}>)
endfunction()
