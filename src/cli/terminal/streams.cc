#include "cli/terminal/streams.h"

#include <fcntl.h>
#include <langinfo.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace facet::cli {

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
