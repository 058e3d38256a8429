#include "serve/timestamp.h"

#include <chrono>
#include <cstdio>
#include <ctime>

namespace facet::serve {
namespace {

std::string FormatTime(std::time_t seconds, const char* format) {
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  return std::string(text, std::strftime(text, sizeof(text), format, &utc));
}

}  // namespace

std::string Timestamp(int64_t unix_seconds) {
  return FormatTime(static_cast<std::time_t>(unix_seconds), "%Y-%m-%dT%H:%M:%SZ");
}

std::string TimestampNow() {
  using std::chrono::microseconds;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t all = std::chrono::duration_cast<microseconds>(now).count();
  char fraction[16];
  std::snprintf(fraction, sizeof(fraction), ".%06dZ", static_cast<int>(all % 1'000'000));
  return FormatTime(static_cast<std::time_t>(all / 1'000'000), "%Y-%m-%dT%H:%M:%S") + fraction;
}

}  // namespace facet::serve
