// Pictures in terminals that can show them.
#pragma once

#include <string>

#include "media/media.h"

namespace facet::cli {

enum class PictureProtocol { kNone, kKitty, kITerm, kSixel };

// What the terminal at stdout understands: kitty and iTerm2 (and those that say they are like them)
// are known by their variables, sixel is asked for. kNone where stdout is no terminal, or one
// inside tmux or screen.
PictureProtocol DetectPictures();

// The text that makes the terminal show a PNG.
std::string PictureSequence(PictureProtocol protocol, const std::string& png);

// The picture in sixels, at most `width` pixels wide, in 216 colours.
std::string Sixels(const media::Picture& picture, int width = 800);

}  // namespace facet::cli
