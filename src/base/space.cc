#include "base/space.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>

#include "base/checked.h"

namespace facet {

Result<int64_t> FreeDiskBytes(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::path at = std::filesystem::absolute(path, code);
  while (!std::filesystem::exists(at, code) && at.has_relative_path()) at = at.parent_path();
  struct statvfs info;
  if (statvfs(at.c_str(), &info) != 0) {
    return SystemError(errno, at.string());
  }
  const auto bytes = CheckedMul<uint64_t>(info.f_bavail, info.f_frsize);
  return bytes ? CheckedCast<int64_t>(*bytes).value_or(INT64_MAX) : INT64_MAX;
}

int64_t MemoryBytes() {
  const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  int64_t bytes = pages > 0 && page > 0 ? pages * page : 0;
  // Containers (cgroup v2) see their own limit here; "max" does not parse and means none.
  std::ifstream in("/sys/fs/cgroup/memory.max");
  int64_t limit = 0;
  if (in >> limit && limit > 0) bytes = bytes > 0 ? std::min(bytes, limit) : limit;
  return bytes;
}

std::string HumanBytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

}  // namespace facet
