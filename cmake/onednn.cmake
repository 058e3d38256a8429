# oneDNN multiplies matrices in training. Debian's own package file asks for OpenCL's headers, which nothing here needs.
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)  # the threads that oneDNN would start; facet tells it to start none
target_include_directories(facet_ops PRIVATE ${DNNL_INCLUDE} ${OpenMP_CXX_INCLUDE_DIRS})
target_link_libraries(facet_ops PRIVATE ${DNNL_LIBRARY} ${OpenMP_CXX_LIBRARIES})
