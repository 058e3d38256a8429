#include "base/checksums.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/mapped_file.h"
#include "base/text.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigits = 64;

using Digests = std::map<std::string, std::string>;  // by name

bool IsDigest(std::string_view text) {
  return text.size() == kDigits &&
         std::all_of(text.begin(), text.end(), [](char c) { return HexDigit(c) >= 0; });
}

Result<Digests> ReadDigests(const fs::path& folder) {
  const fs::path path = folder / kChecksumFile;
  std::error_code code;
  Digests digests;
  if (!fs::exists(path, code)) return digests;
  FACET_ASSIGN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    const std::string digest = line.substr(0, kDigits);
    // Two blanks, or one and a star for what sha256sum calls binary.
    if (!IsDigest(digest) || line.size() < kDigits + 3 || line[kDigits] != ' ')
      return Error{Cat(path.string(), ": expected lines of sha256sum")};
    digests[line.substr(kDigits + 2)] = ToLower(digest);
  }
  return digests;
}

Result<void> WriteDigests(const fs::path& folder, const Digests& digests) {
  std::string text;
  for (const auto& [name, digest] : digests) text += Cat(digest, "  ", name, "\n");
  return WriteFile(folder / kChecksumFile, text);
}

Result<std::string> DigestOf(const fs::path& path) {
  constexpr size_t kPart = size_t{8} << 20;
  FACET_ASSIGN(const MappedFile file, MappedFile::Open(path));
  Hash hash;
  for (size_t at = 0; at < file.bytes().size(); at += kPart) {
    const auto part = file.bytes().subspan(at, std::min(kPart, file.bytes().size() - at));
    hash.Add(part);
    file.Drop(part);
  }
  return hash.Hex();
}

}  // namespace

Result<void> WriteChecksums(const fs::path& folder, const std::vector<std::string>& names) {
  FACET_ASSIGN(Digests digests, ReadDigests(folder));
  for (const std::string& name : names) {
    FACET_ASSIGN(digests[name], DigestOf(folder / name));
  }
  return WriteDigests(folder, digests);
}

Result<void> RemoveChecksums(const fs::path& folder, const std::vector<std::string>& names) {
  auto digests = ReadDigests(folder);
  if (!digests) return WriteDigests(folder, {});  // damaged: it protects nothing
  size_t removed = 0;
  for (const std::string& name : names) removed += digests->erase(name);
  return removed > 0 ? WriteDigests(folder, *digests) : Ok();
}

Result<void> VerifyChecksum(const fs::path& folder, const std::string& name) {
  FACET_ASSIGN(const Digests digests, ReadDigests(folder));
  const auto noted = digests.find(name);
  if (noted == digests.end()) return Ok();
  FACET_ASSIGN(const std::string digest, DigestOf(folder / name));
  if (digest == noted->second) return Ok();
  return Error{Cat((folder / name).string(), ": is damaged or was changed: it is not what ",
                   kChecksumFile, " beside it says; without that line it is read as it is")};
}

}  // namespace facet
