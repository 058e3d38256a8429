# Builds base, ops and their tests for aarch64 and runs them: cmake -DSOURCE= -DBUILD= -DQEMU= -P aarch64.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G Ninja -DCMAKE_BUILD_TYPE=Release -DFACET_OPS_ONLY=ON
    -DFACET_BUILD_BENCH=OFF -DCMAKE_TOOLCHAIN_FILE=${SOURCE}/cmake/aarch64.cmake)
run(${CMAKE_COMMAND} --build ${BUILD} --target ops_test)
# Processors with matrix products of integers, with dot products alone, and with neither.
set(packed *Packed*:Cpu.*)
foreach(processor max,i8mm,* neoverse-n1,neon,${packed} cortex-a72,generic,Cpu.*)
  string(REPLACE "," ";" processor "${processor}")
  list(POP_FRONT processor name isa filter)
  run(${CMAKE_COMMAND} -E env FACET_KNOWN_ISA=${isa}
      ${QEMU} -cpu ${name} ${BUILD}/ops_test --gtest_filter=${filter})
endforeach()
