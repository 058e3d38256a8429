#include "cli/terminal/show_picture.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "base/base64.h"
#include "base/clock.h"
#include "base/descriptor.h"

namespace facet::cli {
namespace {

constexpr size_t kKittyChunk = 4096;  // most base64 in one sequence, by its protocol
constexpr double kAnswerSeconds = 0.3;

std::string_view TerminalVariable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// A terminal's answer to "what can you do" (primary device attributes): "ESC [ ? 62 ; 4 ; 22 c".
std::string AskForAttributes() {
  const Descriptor terminal(open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios before{};
  if (!terminal.valid() || tcgetattr(terminal.get(), &before) != 0) return {};
  termios raw = before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  tcsetattr(terminal.get(), TCSANOW, &raw);
  std::string answer;
  const Clock::time_point start = Clock::now();
  const bool asked = write(terminal.get(), "\033[c", 3) == 3;
  while (asked && answer.find('c') == std::string::npos && SecondsSince(start) < kAnswerSeconds) {
    pollfd ready{terminal.get(), POLLIN, 0};
    char byte = 0;
    if (poll(&ready, 1, 50) > 0 && read(terminal.get(), &byte, 1) == 1) answer += byte;
  }
  tcsetattr(terminal.get(), TCSANOW, &before);
  return answer;
}

bool AnswersSixel() {
  const std::string answer = AskForAttributes();
  const size_t begin = answer.find("\033[?");
  if (begin == std::string::npos) return false;
  std::string attributes = answer.substr(begin + 3);
  attributes = ";" + attributes.substr(0, attributes.find('c')) + ";";
  return attributes.find(";4;") != std::string::npos;
}

std::string KittySequence(const std::string& png) {
  const std::string text = EncodeBase64(png);
  std::string out;
  for (size_t at = 0; at < text.size(); at += kKittyChunk) {
    const bool more = at + kKittyChunk < text.size();
    out += Cat("\033_G", at == 0 ? "a=T,f=100," : "", "m=", more ? 1 : 0, ";",
               text.substr(at, kKittyChunk), "\033\\");
  }
  return out + "\n";
}

// Repeats as sixels write them: "!12~".
void AppendRun(std::string& out, char sixel, int count) {
  if (count > 3) {
    out += Cat("!", count, sixel);
  } else {
    out.append(static_cast<size_t>(count), sixel);
  }
}

constexpr int kLevels = 6;

uint8_t NearestColour(const uint8_t* rgb) {
  int index = 0;
  for (int c = 0; c < 3; ++c) index = index * kLevels + (rgb[c] * (kLevels - 1) + 127) / 255;
  return static_cast<uint8_t>(index);
}

// One band of six rows: each colour's row of sixels above the other.
void AppendBand(std::string& out, const std::vector<uint8_t>& colours, int width, int rows) {
  std::array<bool, kLevels * kLevels * kLevels> used{};
  for (int i = 0; i < rows * width; ++i) used[colours[static_cast<size_t>(i)]] = true;
  for (size_t colour = 0; colour < used.size(); ++colour) {
    if (!used[colour]) continue;
    out += Cat("#", colour);
    char last = 0;
    int count = 0;
    for (int x = 0; x < width; ++x) {
      int bits = 0;
      for (int y = 0; y < rows; ++y) {
        if (colours[static_cast<size_t>(y * width + x)] == colour) bits |= 1 << y;
      }
      const char sixel = static_cast<char>(63 + bits);
      if (sixel != last && count > 0) AppendRun(out, last, count);
      count = sixel == last ? count + 1 : 1;
      last = sixel;
    }
    AppendRun(out, last, count);
    out += "$";
  }
  out += "-";
}

}  // namespace

std::string Sixels(const media::Picture& given, int width) {
  media::Picture picture = given;
  if (picture.width > width) {
    const int height = std::max(1, picture.height * width / picture.width);
    picture = media::Resize(picture, {width, height});
  }
  std::string out = Cat("\033Pq\"1;1;", picture.width, ";", picture.height);
  for (int i = 0; i < kLevels * kLevels * kLevels; ++i)
    out += Cat("#", i, ";2;", i / 36 * 20, ";", i / 6 % 6 * 20, ";", i % 6 * 20);
  std::vector<uint8_t> colours;
  for (int y = 0; y < picture.height; y += 6) {
    const int rows = std::min(6, picture.height - y);
    colours.clear();
    const uint8_t* pixel = picture.rgb.data() +
                           size_t{3} * static_cast<size_t>(y) * static_cast<size_t>(picture.width);
    for (int i = 0; i < rows * picture.width; ++i, pixel += 3)
      colours.push_back(NearestColour(pixel));
    AppendBand(out, colours, picture.width, rows);
  }
  return out + "\033\\\n";
}

PictureProtocol DetectPictures() {
  const std::string_view term = TerminalVariable("TERM"),
                         program = TerminalVariable("TERM_PROGRAM");
  if (isatty(STDOUT_FILENO) == 0 || term.empty() || term == "dumb") return PictureProtocol::kNone;
  if (term.starts_with("tmux") || term.starts_with("screen") || !TerminalVariable("TMUX").empty())
    return PictureProtocol::kNone;
  if (term == "xterm-kitty" || term == "xterm-ghostty" ||
      !TerminalVariable("KITTY_WINDOW_ID").empty())
    return PictureProtocol::kKitty;
  if (program == "iTerm.app" || program == "WezTerm" || TerminalVariable("LC_TERMINAL") == "iTerm2")
    return PictureProtocol::kITerm;
  return AnswersSixel() ? PictureProtocol::kSixel : PictureProtocol::kNone;
}

std::string PictureSequence(PictureProtocol protocol, const std::string& png) {
  switch (protocol) {
    case PictureProtocol::kNone:
      return {};
    case PictureProtocol::kKitty:
      return KittySequence(png);
    case PictureProtocol::kITerm:
      return Cat("\033]1337;File=inline=1;size=", png.size(), ":", EncodeBase64(png), "\a\n");
    case PictureProtocol::kSixel: {
      const auto picture = media::DecodePicture(std::as_bytes(std::span(png)));
      return picture.ok() ? Sixels(*picture) : std::string();
    }
  }
  return {};
}

}  // namespace facet::cli
