// SHA-256 of what comes piece by piece, and SHA-1 as git names its objects with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // of OpenSSL

namespace facet {

using Sha256Digest = std::array<uint8_t, 32>;

class Hash {
 public:
  enum class Kind { kSha256, kSha1 };
  explicit Hash(Kind kind = Kind::kSha256);

  void Add(const void* data, size_t bytes);
  void Add(std::span<const std::byte> bytes) { Add(bytes.data(), bytes.size()); }

  // One of these, once, at the end.
  Sha256Digest Finish();  // of kSha256 only
  std::string Hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Sha256Digest Sha256(std::span<const std::byte> bytes);
Sha256Digest Sha256(std::string_view text);

// Lower case.
std::string Hex(std::span<const uint8_t> bytes);

}  // namespace facet
