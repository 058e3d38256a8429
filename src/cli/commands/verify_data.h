// What `facet verify` reads to a model: a text, a picture, a sentence. Part of the program.
#pragma once

#include <string_view>

namespace facet::cli {

std::string_view VerifyText();
std::string_view VerifyPicture();   // examples/media/house.png
std::string_view VerifySentence();  // examples/media/sentence.wav

}  // namespace facet::cli
