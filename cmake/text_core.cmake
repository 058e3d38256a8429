if(NOT EXISTS ${CMAKE_SOURCE_DIR}/text-core/Cargo.toml)
  add_library(text_core INTERFACE)
  return()
endif()
# text-core: one Rust static library (templates and constraints) behind the C ABI of text-core/include/text_core.h.
find_program(CARGO cargo HINTS $ENV{HOME}/.cargo/bin REQUIRED)
# The presets with sanitizers take the release preset's: Rust is compiled without them in any case.
set(FACET_TEXT_CORE_DIR ${CMAKE_BINARY_DIR}/text-core CACHE PATH "Where cargo builds text-core")
set(text_core_target ${FACET_TEXT_CORE_DIR})
set(text_core_lib ${text_core_target}/release/libtext_core.a)
file(GLOB_RECURSE text_core_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/text-core/src/*.rs)
# Messages of panics name source files: no path of this machine in the program.
if(DEFINED ENV{CARGO_HOME})
  set(cargo_home $ENV{CARGO_HOME})
else()
  set(cargo_home $ENV{HOME}/.cargo)
endif()
set(rust_flags "--remap-path-prefix=${cargo_home}=cargo --remap-path-prefix=${CMAKE_SOURCE_DIR}=.")
if(DEFINED ENV{RUSTFLAGS})
  string(PREPEND rust_flags "$ENV{RUSTFLAGS} ")
endif()
add_custom_command(
  OUTPUT ${text_core_lib}
  COMMAND ${CMAKE_COMMAND} -E env "RUSTFLAGS=${rust_flags}" ${CARGO} build --release --locked --quiet --target-dir ${text_core_target}
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}/text-core
  DEPENDS ${text_core_sources} ${CMAKE_SOURCE_DIR}/text-core/Cargo.toml ${CMAKE_SOURCE_DIR}/text-core/Cargo.lock
  COMMENT "cargo build text-core" USES_TERMINAL)
add_custom_target(text_core_build DEPENDS ${text_core_lib})
add_library(text_core INTERFACE)
add_dependencies(text_core text_core_build)
target_include_directories(text_core INTERFACE ${CMAKE_SOURCE_DIR}/text-core/include)
target_link_libraries(text_core INTERFACE ${text_core_lib} Threads::Threads ${CMAKE_DL_LIBS} m)
