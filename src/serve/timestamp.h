// Times as RFC 3339 has them.
#pragma once

#include <cstdint>
#include <string>

namespace facet::serve {

// Seconds since 1970: "2026-11-28T20:31:09Z".
std::string Timestamp(int64_t unix_seconds);

// Now, with microseconds.
std::string TimestampNow();

}  // namespace facet::serve
