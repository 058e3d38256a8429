#include "cli/commands/verify_data.h"

// The assembler copies the files into the program; CMakeLists.txt tells it where they lie.
#define FACET_EMBED(name, path)       \
  asm(".section .rodata\n"            \
      ".global " #name                \
      "_begin\n"                      \
      ".global " #name "_end\n" #name \
      "_begin:\n"                     \
      ".incbin \"" path "\"\n" #name  \
      "_end:\n"                       \
      ".byte 0\n"                     \
      ".previous\n");                 \
  extern "C" const char name##_begin[], name##_end[]

FACET_EMBED(facet_picture, "house.png");
FACET_EMBED(facet_sentence, "sentence.wav");

namespace facet::cli {

// From the preamble and first articles of the Universal Declaration of Human Rights, 1948.
std::string_view VerifyText() {
  return "Whereas recognition of the inherent dignity and of the equal and inalienable rights of "
         "all members of the human "
         "family is the foundation of freedom, justice and peace in the world, whereas disregard "
         "and contempt for human "
         "rights have resulted in barbarous acts which have outraged the conscience of mankind, "
         "and the advent of a world "
         "in which human beings shall enjoy freedom of speech and belief and freedom from fear and "
         "want has been "
         "proclaimed as the highest aspiration of the common people.\n\nAll human beings are born "
         "free and equal in dignity "
         "and rights. They are endowed with reason and conscience and should act towards one "
         "another in a spirit of "
         "brotherhood. Everyone has the right to life, liberty and the security of person. No one "
         "shall be held in slavery "
         "or servitude; slavery and the slave trade shall be prohibited in all their forms. No one "
         "shall be subjected to torture or to cruel, inhuman or degrading treatment or punishment. "
         "Everyone has the right to recognition everywhere as a person before the law. All are "
         "equal before the law and are entitled without any discrimination to equal protection of "
         "the law. All are entitled to equal protection against any discrimination in violation of "
         "this Declaration and against any incitement to such discrimination. Everyone has the "
         "right to an effective remedy by the competent national tribunals for acts violating the "
         "fundamental rights granted him by the constitution or by law. No one shall be subjected "
         "to arbitrary arrest, detention or exile. Everyone is entitled in full equality to a fair "
         "and public hearing by an independent and impartial tribunal, in the determination of his "
         "rights and obligations and of any criminal charge against him.";
}

std::string_view VerifyPicture() {
  return {facet_picture_begin, static_cast<size_t>(facet_picture_end - facet_picture_begin)};
}

std::string_view VerifySentence() {
  return {facet_sentence_begin, static_cast<size_t>(facet_sentence_end - facet_sentence_begin)};
}

}  // namespace facet::cli
