#include "cli/terminal/streams.h"

#include <fcntl.h>
#include <langinfo.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <streambuf>

#include "base/visible.h"

namespace facet::cli {
namespace {

// Hands on what is written to it as a terminal may have it. A character that comes in pieces waits
// for its end.
class VisibleBuffer : public std::streambuf {
 public:
  explicit VisibleBuffer(std::streambuf* next) : next_(next) {}

 protected:
  int_type overflow(int_type c) override {
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    const char byte = traits_type::to_char_type(c);
    return xsputn(&byte, 1) == 1 ? c : traits_type::eof();
  }
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    pending_.append(text, size);
    return Pass(pending_.size() - IncompleteBytes(pending_)) ? size : 0;
  }
  int sync() override { return Pass(pending_.size()) ? next_->pubsync() : -1; }

 private:
  bool Pass(size_t bytes) {
    const std::string shown = Visible(std::string_view(pending_).substr(0, bytes));
    pending_.erase(0, bytes);
    const auto size = static_cast<std::streamsize>(shown.size());
    return next_->sputn(shown.data(), size) == size;
  }

  std::streambuf* next_;
  std::string pending_;
};

// Never destroyed: other static objects may still write when the program ends.
void Wrap(std::ostream& stream) {
  stream.rdbuf(new VisibleBuffer(stream.rdbuf()));
}

void PrintTo(std::ostream& out, const char* format, std::va_list values) {
  std::va_list again;
  va_copy(again, values);
  std::string text(std::vsnprintf(nullptr, 0, format, again), '\0');
  va_end(again);
  std::vsnprintf(text.data(), text.size() + 1, format, values);
  out << text << std::flush;
}

}  // namespace

void ShowControlCharacters() {
  if (isatty(STDOUT_FILENO) == 1) Wrap(std::cout);
  Wrap(std::cerr);
}

void Print(const char* format, ...) {
  std::va_list values;
  va_start(values, format);
  PrintTo(std::cout, format, values);
  va_end(values);
}

void PrintError(const char* format, ...) {
  std::va_list values;
  va_start(values, format);
  PrintTo(std::cerr, format, values);
  va_end(values);
}

void HoldClosedStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) != -1 || errno != EBADF) continue;
    // In the wrong direction, so that reading or writing still fails. open() gives the lowest free
    // number, which is the closed one.
    const int held = open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    static_cast<void>(held);
  }
}

void UseUtf8() {
  const auto utf8 = [] { return std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0; };
  if (std::setlocale(LC_CTYPE, "") != nullptr && utf8()) return;
  for (const char* name : {"C.UTF-8", "en_US.UTF-8"}) {
    if (std::setlocale(LC_CTYPE, name) != nullptr && utf8()) return;
  }
}

void PrintColoured(const std::string& text) {
  std::cout << std::flush;
  std::fwrite(text.data(), 1, text.size(), stdout);
}

Result<void> FlushOutput() {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  const int code = errno;
  if (flushed && !std::cout.fail() && std::ferror(stdout) == 0) return Ok();
  return Error{Cat("stdout cannot be written", code != 0 ? Cat(": ", std::strerror(code)) : ""),
               ErrorKind::kIo};
}

}  // namespace facet::cli
