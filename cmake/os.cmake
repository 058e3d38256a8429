# The system calls of base/os/os.h for the system that is built for.
if(APPLE)
  target_sources(facet_base PRIVATE ${CMAKE_SOURCE_DIR}/src/base/os/macos.cc)
else()
  target_sources(facet_base PRIVATE ${CMAKE_SOURCE_DIR}/src/base/os/linux.cc)
endif()
