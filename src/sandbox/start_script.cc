#include "sandbox/start_script.h"

// The assembler copies the file into the program; CMakeLists.txt tells it where it lies.
asm(".section .rodata\n"
    ".global facet_start_begin\n"
    ".global facet_start_end\n"
    "facet_start_begin:\n"
    ".incbin \"start.py\"\n"
    "facet_start_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" const char facet_start_begin[], facet_start_end[];

namespace facet::sandbox {

std::string_view StartScript() {
  return {facet_start_begin, static_cast<size_t>(facet_start_end - facet_start_begin)};
}

}  // namespace facet::sandbox
