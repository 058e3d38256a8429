#include "base/hash.h"

#include <openssl/evp.h>

#include <cassert>

namespace facet {

void Hash::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Hash::Hash(Kind kind) : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_.get(), kind == Kind::kSha256 ? EVP_sha256() : EVP_sha1(), nullptr);
}

void Hash::Add(const void* data, size_t bytes) {
  EVP_DigestUpdate(context_.get(), data, bytes);
}

Sha256Digest Hash::Finish() {
  Sha256Digest digest{};
  assert(EVP_MD_CTX_size(context_.get()) == static_cast<int>(digest.size()));
  EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
  return digest;
}

std::string Hash::Hex() {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
  return facet::Hex(std::span(digest).first(size));
}

Sha256Digest Sha256(std::span<const std::byte> bytes) {
  Hash hash;
  hash.Add(bytes);
  return hash.Finish();
}

Sha256Digest Sha256(std::string_view text) {
  return Sha256(std::as_bytes(std::span(text)));
}

std::string Hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : bytes) out.append({kDigits[byte >> 4], kDigits[byte & 15]});
  return out;
}

}  // namespace facet
