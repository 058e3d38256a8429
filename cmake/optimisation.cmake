# Release means -O3 where numbers are computed. What reads, decides and prints is mostly templates of JSON, command lines
# and HTTP, which -O1 compiles in half the time.
foreach(layer formats net hub sandbox chat eval tune runtime serve cli)
  facet_optimise(facet_${layer} 1)
endforeach()

# The same in layers that also compute.
file(GLOB sources CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/src/engine/prefix_store*.cc ${CMAKE_SOURCE_DIR}/src/engine/prompt*.cc
  ${CMAKE_SOURCE_DIR}/src/engine/scripted*.cc
  ${CMAKE_SOURCE_DIR}/src/model/adapter.cc ${CMAKE_SOURCE_DIR}/src/model/config*.cc
  ${CMAKE_SOURCE_DIR}/src/model/convert_*.cc ${CMAKE_SOURCE_DIR}/src/model/estimate.cc)
set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)

# And where a layer that mostly reads and writes files computes.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/tune/train/*.cc)
list(FILTER sources EXCLUDE REGEX "/train/(init|lora)\\.cc$")
set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)

# The portable packed products, which x86-64 with AVX2 never runs, take 24 s to compile at -O2 and 79 s at -O3.
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/ops/matmul/packed_generic.cc
                            PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O2>)
