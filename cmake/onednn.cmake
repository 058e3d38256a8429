# oneDNN multiplies matrices in training. Debian's own package file asks for OpenCL's headers, which nothing here needs.
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
file(STRINGS ${DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h dnnl_version REGEX "define DNNL_VERSION_M(AJOR|INOR) ")
list(TRANSFORM dnnl_version REPLACE ".* ([0-9]+)$" "\\1")
list(JOIN dnnl_version "." dnnl_version)
if(dnnl_version VERSION_LESS 2.6)
  message(FATAL_ERROR "oneDNN ${dnnl_version} is in ${DNNL_INCLUDE}; facet needs 2.6 or newer")
endif()
find_package(OpenMP REQUIRED COMPONENTS CXX)  # the threads that oneDNN would start; facet tells it to start none
target_include_directories(facet_ops PRIVATE ${DNNL_INCLUDE} ${OpenMP_CXX_INCLUDE_DIRS})
target_link_libraries(facet_ops PRIVATE ${DNNL_LIBRARY} ${OpenMP_CXX_LIBRARIES})
