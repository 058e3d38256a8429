# Kernels of one instruction set live in translation units named *_avx2.cc, *_avx512.cc, *_neon.cc or
# *_i8mm.cc.
# Only those units are compiled with that set's flags; which one runs is chosen at run time (ops/cpu.h).
get_target_property(sources facet_ops SOURCES)
set(kept "")
foreach(source ${sources})
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    if(source MATCHES "_(neon|i8mm)\\.cc$")
      continue()
    elseif(source MATCHES "_avx2\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    elseif(source MATCHES "_avx512\\.cc$")
      # GCC 12 takes the deliberately undefined operands of its own AVX-512 intrinsics for mistakes.
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mprefer-vector-width=512;-Wno-uninitialized;-Wno-maybe-uninitialized")
    endif()
  else()
    if(source MATCHES "_(avx2|avx512)\\.cc$")
      continue()
    elseif(source MATCHES "_neon\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod")
    elseif(source MATCHES "_i8mm\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-march=armv8.2-a+dotprod+i8mm")
    endif()
  endif()
  if(FACET_OPS_ONLY AND source MATCHES "/(gemm/gemm|attention/dense)\\.cc$")
    continue()  # oneDNN is not there for a foreign processor
  endif()
  list(APPEND kept ${source})
endforeach()
set_target_properties(facet_ops PROPERTIES SOURCES "${kept}")
# The same sum in every kernel: no contraction that the source does not spell out.
target_compile_options(facet_ops PRIVATE -ffp-contract=off)
